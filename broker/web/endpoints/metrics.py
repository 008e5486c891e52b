"""For Prometheus alone: what the broker has done. nginx keeps the public away from it, and so does the guard."""

from flask import Blueprint, Response, request

from broker.web import guards
from broker.web.services import services

blueprint = Blueprint("scrape", __name__)
blueprint.before_request(guards.listed_network)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus text, over all workers."""
    content, content_type = services().metrics.exposition(request.headers.get("Accept"))
    return Response(content, content_type=content_type)
