"""CORS: https://fetch.spec.whatwg.org/#http-cors-protocol."""

import re

from flask import current_app, request

from broker.web import request_context
from broker.web.flask_app import Response
from broker.web.services import services

METHODS = "GET, POST, DELETE, OPTIONS"
# The header fields that the OpenAI and Supabase browser SDKs send. Other requested fields are allowed too, by name,
# because `*` does not cover Authorization.
HEADERS = "authorization, content-type, apikey, x-client-info, x-request-id"
EXPOSED = "RateLimit, RateLimit-Policy, Retry-After, X-Dropped-Parameters, X-Request-Id, X-Should-Retry"
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
MAX_AGE = "86400"  # seconds; browsers cap it themselves


def preflight() -> Response | None:
    """Answer a preflight; None for any other request. Runs before everything else."""
    if request_context.current().method != "OPTIONS":
        return None
    response = Response(status=204)
    requested = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = _allowed(requested)
    response.headers["Access-Control-Max-Age"] = MAX_AGE
    response.headers["Allow"] = ", ".join(_methods())
    response.vary.update(("Access-Control-Request-Headers", "Access-Control-Request-Method"))
    return response


def allow(response: Response) -> Response:
    """Let the page's origin read the response if the operator listed it."""
    origins = services().settings.cors_origins
    if "*" in origins:
        response.headers.add("Access-Control-Allow-Origin", "*")
    else:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin not in origins:
            return response
        response.headers.add("Access-Control-Allow-Origin", origin)
    response.headers.add("Access-Control-Expose-Headers", EXPOSED)
    return response


def _methods() -> list[str]:
    """The methods of the requested endpoint, or all methods if the path matches none."""
    known = current_app.create_url_adapter(request)
    methods = set(known.allowed_methods()) if known else set()
    return [method for method in METHODS.split(", ") if method in methods or not methods]


def _allowed(requested: str) -> str:
    known = HEADERS.split(", ")
    names = [name.strip().lower() for name in requested.split(",")]
    return ", ".join(known + [name for name in names if _NAME.fullmatch(name) and name not in known])
