"""For Prometheus alone: what the broker has done. nginx keeps the public away from it, and so does the guard."""

from flask import Blueprint, Response, request

from broker import gate
from broker.services import services

blueprint = Blueprint("scrape", __name__)
blueprint.before_request(gate.listed_network)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Prometheus text, over all workers."""
    content, content_type = services().metrics.exposition(request.headers.get("Accept"))
    return Response(content, content_type=content_type)
