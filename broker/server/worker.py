"""gunicorn's gevent worker with a graceful stop and the broker's own error responses.

A worker that is replaced, by a reload or by the memory watchdog, finishes its open calls. When the broker stops,
gunicorn kills a worker that has not finished within `graceful_timeout`, and a kill runs no `finally`. So shortly
before, every open call is ended: its last line is sent, its upstream closed, its usage settled. A leaving worker
accepts no connections and closes idle ones. Clients slower than `CLIENT_TIMEOUT` are disconnected.
"""

import contextlib
import logging
import signal
import socket
import time
from types import FrameType
from typing import Any

import gevent
from gevent import monkey
from gevent import socket as gevent_socket
from gunicorn.http.errors import NoMoreData

from broker.errors.request import BodyBroken
from broker.server import request_validation
from broker.server.master import SharedState
from broker.server.memory_watchdog import MemoryWatchdog
from broker.server.request_body import RequestBody
from broker.server.request_handler import RequestHandler
from broker.web.headers import security_headers
from broker.web.request_context import UNMATCHED
from broker.web.services import EXTENSION, Services

log = logging.getLogger(__name__)

LAST_MOMENT = 3.0  # seconds before gunicorn's kill at which open calls are ended
CLIENT_MARGIN = 30.0  # seconds for which a replaced worker outlasts the longest call
IDLE_MARGIN = 5.0  # seconds for which a replaced worker still takes requests on idle connections
BEGINNING = 1.0  # seconds for which a stopping worker waits for the first request of a new connection
REST = 0.05  # seconds for which the rest of a rejected head is awaited
LINGER = 2.0  # seconds for which a client that is still sending may read its error response
LINGER_BYTES = 64 * 1024 * 1024


class Worker(RequestHandler):
    """One process that serves calls."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: set[socket.socket] = set()
        self._new_connections: dict[socket.socket, Any] = {}  # before their first request, with timers
        self._leaving_since = 0.0
        self._is_stopping = False
        self.is_leaving = False  # in the master: the worker is being replaced
        self.state: SharedState  # set after the fork
        self.sockets: list[Any]

    def patch(self) -> None:
        """Patch the modules that the master left unpatched, and replace the sockets that it made.

        gunicorn patches all modules again, for which gevent writes to 2 MB of the pages that the processes share.
        """
        monkey.patch_os()
        monkey.patch_signal()
        listeners = [(one.FAMILY, one.sock.detach()) for one in self.sockets]
        self.sockets = [gevent_socket.socket(family, socket.SOCK_STREAM, fileno=file) for family, file in listeners]

    def memory_watchdog(self) -> MemoryWatchdog:
        """The watchdog of this process. No limit without Redis: the counts would be lost with the worker."""
        settings = self.services().settings
        limit = settings.worker_max_rss if settings.redis_url else 0
        return MemoryWatchdog(limit, self.state.request_replacement)

    def services(self) -> Services:
        """The services of this worker's app."""
        return self.wsgi.extensions[EXTENSION]  # type: ignore[no-any-return]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: accept no new calls, and let open ones finish. A second one may follow when the broker stops."""
        super().handle_exit(sig, frame)
        if not self.booted:
            return
        if not self._leaving_since:
            self._leaving_since = time.time()
            gevent.spawn_later(IDLE_MARGIN, self._end_idle_connections)
            self._leave_within(self.services().settings.openai_call_timeout + CLIENT_MARGIN)
        if self.state.is_stopping and not self._is_stopping:
            self._is_stopping = True
            gevent.spawn(self._end_idle_connections)
            self._leave_within(self.services().settings.graceful_timeout)

    def run(self) -> None:
        """Serve. A SIGTERM that came during the start takes effect now."""
        if not self.alive:
            self.handle_exit(signal.SIGTERM, None)
        super().run()

    def _leave_within(self, seconds: float) -> None:
        """End within `seconds` from now, and the open calls shortly before. gunicorn counts from the first SIGTERM."""
        self.cfg.__dict__["graceful_timeout"] = time.time() - self._leaving_since + seconds
        gevent.spawn_later(max(0.0, seconds - LAST_MOMENT), self.services().calls.stop)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Handle one connection and its requests."""
        if not self.alive and self.state.is_stopping:
            client.close()
            return
        self._idle.add(client)
        self._new_connections[client] = timer = gevent.get_hub().loop.timer(self.services().settings.client_timeout)
        timer.start(_disconnect, client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)
            self._new_connections.pop(client, timer).close()

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """Handle one request."""
        self._idle.discard(sock)
        if timer := self._new_connections.pop(sock, None):
            timer.close()
        request_validation.check(req)
        req.body = body = RequestBody(req.body.reader)
        sock.settimeout(self.services().settings.client_timeout)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:  # the client has read nothing for CLIENT_TIMEOUT seconds
            raise StopIteration from None
        finally:
            sock.settimeout(None)
            if body.is_pending:
                req.force_close()
                _linger(sock)
        if self._leaving_since and (self.state.is_stopping or time.time() > self._leaving_since + IDLE_MARGIN):
            raise StopIteration  # makes gunicorn close the connection
        self._idle.add(sock)

    def handle_error(self, _: Any, client: socket.socket, __: Any, error: BaseException) -> None:
        """Answer a request that gunicorn cannot parse, or on which it fails, and end the connection."""
        if isinstance(error, BodyBroken | NoMoreData) or not isinstance(error, Exception):
            return  # the request was answered already, or the client is gone
        fault = request_validation.fault_of(error)
        if fault.status >= 500:
            log.error("a request failed in the server", exc_info=error)
        else:
            log.info("request cannot be parsed", extra={"status": fault.status, "reason": type(error).__name__})
        services = self.services()
        services.metrics.request_ended("other", UNMATCHED, fault.status, 0.0)
        origins = services.settings.cors_origins
        received = b"" if "*" in origins else getattr(error, "received", b"") + _rest_of_head(client)
        allowed = request_validation.cors_fields(origins, received)
        with contextlib.suppress(OSError):
            client.sendall(request_validation.response_bytes(fault, security_headers.HEADERS | allowed))
        _linger(client)

    def _end_idle_connections(self) -> None:
        """Close connections between two requests now, and those without a first request a moment later."""
        for clients in (self._idle - self._new_connections.keys(), self._idle & self._new_connections.keys()):
            for client in clients & self._idle:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RD)
            gevent.sleep(BEGINNING)


def _disconnect(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _rest_of_head(client: socket.socket) -> bytes:
    """Return the part of a rejected head that arrived after the error. It may hold the `Origin` field."""
    with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(REST):
        return client.recv(request_validation.HEAD_BYTES)
    return b""


def _linger(client: socket.socket) -> None:
    """Discard input for a moment: closing with unread input resets the connection, and the response is lost."""
    left = LINGER_BYTES
    with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(LINGER):
        client.shutdown(socket.SHUT_WR)
        while left > 0 and (data := client.recv(65_536)):
            left -= len(data)
            gevent.sleep(0)  # let other greenlets run, even if the client never stops sending
