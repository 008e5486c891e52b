"""The page to try the broker, at `/` if PLAYGROUND is on. Serves the files of `broker/web/static`."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Response, send_from_directory

from broker.web import guards
from broker.web.error_handlers import JSON
from broker.web.services import services

PAGE = Path(__file__).parent.parent / "static"

blueprint = Blueprint("playground", __name__)
blueprint.before_request(guards.anyone)


@blueprint.get("/")
def page() -> Response:
    """Serve the page."""
    return send_from_directory(PAGE, "index.html")


@blueprint.get("/playground/<name>")
def page_file(name: str) -> Response:
    """Serve one of the page's files."""
    return send_from_directory(PAGE, name)


@blueprint.get("/playground/settings.json")
def settings() -> Response:
    """Serve the settings that the page needs. All of them are public."""
    chosen = services().settings
    body = {"supabase_url": chosen.supabase_url, "anon_key": chosen.supabase_anon_key, "models": list(chosen.models)}
    return Response(json.dumps(body) + "\n", mimetype=JSON)


@blueprint.after_request
def protect(response: Response) -> Response:
    """Set the page's Content-Security-Policy (https://www.w3.org/TR/CSP3/) instead of `security_headers`' own.

    It forbids foreign and inline code and frames, and allows connections to the broker and Supabase only.
    """
    response.headers["Content-Security-Policy"] = "; ".join(_policy(services().settings.supabase_url))
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-cache"  # the browser revalidates each time and mostly gets a 304
    return response


def _policy(supabase_url: str) -> tuple[str, ...]:
    parts = urlsplit(supabase_url)
    return (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        f"connect-src 'self' {parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
