"""The metrics for Prometheus. The guard admits listed networks only, and nginx does not pass this path on."""

from flask import Blueprint, request

from broker.web import guards
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("scrape", __name__)
blueprint.before_request(guards.listed_network)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Serve the metrics of all workers in Prometheus' text format."""
    content, content_type = services().metrics.exposition(request.headers.get("Accept"))
    return Response(content, content_type=content_type)
