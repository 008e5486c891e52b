"""Flask without sessions, host matching and async views, which cost time on every request."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

_NO_SESSION = NullSession()


class _NoSessions(SessionInterface):
    """A session interface without sessions."""

    def open_session(self, *_: Any) -> NullSession:
        """A session that cannot be written to."""
        return _NO_SESSION


class WebApp(Flask):
    """An app that matches routes by method and path only."""

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
