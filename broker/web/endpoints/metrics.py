"""The metrics for Prometheus. The guard admits listed networks only, and nginx does not pass this path on."""

import re

from flask import Blueprint, request

from broker.web import guards
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("scrape", __name__)
blueprint.before_request(guards.listed_network)

_VERSION = re.compile(r"\bversion\s*=([^;,]*)")
# of the formats that prometheus_client writes, and of those that it answers with the oldest one; "" means the newest
VERSIONS = frozenset({"", "0.0.1", "0.0.4", "1.0.0"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Serve the metrics of all workers in Prometheus' text format, or in OpenMetrics if the client accepts it."""
    content, content_type = services().metrics.exposition(_known(request.headers.get("Accept", "")))
    return Response(content, content_type=content_type)


def _known(accept: str) -> str | None:
    """Return the `Accept` field, or None if it names an unknown version.

    prometheus_client fails on versions that are no numbers, and claims to write any other that is asked for.
    """
    return accept if VERSIONS.issuperset(_VERSION.findall(accept)) else None
