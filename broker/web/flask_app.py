"""Flask without sessions, host matching and async views, which cost time on every request."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import flask
from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.datastructures import Headers
from werkzeug.routing import MapAdapter

_NO_SESSION = NullSession()


class _NoSessions(SessionInterface):
    """A session interface without sessions."""

    def open_session(self, *_: Any) -> NullSession:
        """A session that cannot be written to."""
        return _NO_SESSION


class Response(flask.Response):
    """A response whose header fields are sent as they are."""

    def get_wsgi_headers(self, environ: dict[str, Any]) -> Headers:
        """The fields themselves. Werkzeug copies them, to change fields that only other statuses have."""
        if self.status_code == HTTPStatus.OK and "Content-Length" in self.headers:
            return self.headers
        return super().get_wsgi_headers(environ)


class WebApp(Flask):
    """An app that matches routes by method and path only."""

    response_class = Response
    session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """The adapter that matches the request. `server.request_validation` has checked `Host`, which no route uses."""
        if request is None:
            return super().create_url_adapter(None)
        environment = ("localhost", "/", "", "http")  # server, root, subdomain, scheme
        return MapAdapter(self.url_map, *environment, request.path, request.method)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: no view is a coroutine."""
        return func
