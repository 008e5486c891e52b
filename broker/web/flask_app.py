"""Flask, less what each request would pay for though this app has none of it: sessions, routes by host, coroutines."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

_NO_SESSION = NullSession()


class _NoSessions(SessionInterface):
    """No request has one."""

    def open_session(self, *_: Any) -> NullSession:
        """One that refuses to be written to."""
        return _NO_SESSION


class WebApp(Flask):
    """An app whose routes are found by method and path alone."""

    session_interface = _NoSessions()

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """What finds the request's route. `unreadable` has looked at its `Host`, which no route asks for."""
        if request is None:
            return super().create_url_adapter(None)
        place = ("localhost", "/", "", "http")  # server, root, subdomain, scheme
        return MapAdapter(self.url_map, *place, request.path, request.method)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none is a coroutine."""
        return func
