"""Letting pages on other origins call, and read what they get: https://fetch.spec.whatwg.org/#http-cors-protocol."""

import re

from flask import Response, current_app, request

from broker.web.services import services

METHODS = "GET, POST, OPTIONS"
# what the OpenAI and Supabase browser SDKs send; whatever else a page asks for is allowed too, by name,
# because a `*` does not cover Authorization
HEADERS = "authorization, content-type, apikey, x-client-info, x-request-id"
EXPOSED = "RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, X-Should-Retry"
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
MAX_AGE = "86400"  # seconds; browsers cap it themselves


def preflight() -> Response | None:
    """The answer to a preflight, before anything else looks at the request; None for any other request."""
    if request.method != "OPTIONS":
        return None
    response = Response(status=204)
    asked = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = _allowed(asked)
    response.headers["Access-Control-Max-Age"] = MAX_AGE
    response.headers["Allow"] = ", ".join(_answered())
    response.vary.update(("Access-Control-Request-Headers", "Access-Control-Request-Method"))
    return response


def allow(response: Response) -> Response:
    """Let the page's origin read the answer, if it is one that the operator listed."""
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


def _answered() -> list[str]:
    """The methods that the requested endpoint answers; all that there are, where no endpoint is known."""
    known = current_app.create_url_adapter(request)
    answered = set(known.allowed_methods()) if known else set()
    return [method for method in METHODS.split(", ") if method in answered or not answered]


def _allowed(asked: str) -> str:
    known = HEADERS.split(", ")
    names = [name.strip().lower() for name in asked.split(",")]
    return ", ".join(known + [name for name in names if _NAME.fullmatch(name) and name not in known])
