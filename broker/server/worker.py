"""gunicorn's gevent worker, with a good end, and with the broker's own words for what gunicorn refuses.

gunicorn kills a worker that is not done within `graceful_timeout`, and then no `finally` runs: so
a moment before, every open call is ended with its last line, its upstream closed, its count settled.
And a worker that has to go neither takes new connections, nor waits for idle ones to be used again.
A client that is slower than `CLIENT_TIMEOUT` allows, with its request or with taking the answer, is hung up on.
"""

import contextlib
import logging
import socket
import warnings
from types import FrameType
from typing import Any

import gevent
from gevent import monkey
from gunicorn.http.errors import NoMoreData

from broker.errors.request import BodyBroken
from broker.server import early_response, request_validation
from broker.server.memory_watchdog import MemoryWatch
from broker.server.request_body import ClientBody
from broker.server.request_handler import ExchangeWorker
from broker.web import security_headers
from broker.web.request_context import UNMATCHED
from broker.web.services import EXTENSION, Services

log = logging.getLogger(__name__)

LAST_MOMENT = 3.0  # seconds before the kill
BEGINNING = 1.0  # seconds in which a new connection's request is still taken
LINGER = 2.0  # seconds in which a client that still sends may read its refusal
LINGER_BYTES = 64 * 1024 * 1024


class Worker(ExchangeWorker):
    """One process that serves calls."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: set[socket.socket] = set()
        self._beginners: dict[socket.socket, Any] = {}  # connections without a whole request so far, and their timers
        self._is_replaced = False

    def patch(self) -> None:
        """What the master has left alone is patched here; gevent warns of a second round, which is meant."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
            super().patch()

    def memory_watch(self) -> MemoryWatch:
        """The watch on this process; without Redis there is none, because the counts would go with the worker."""
        settings = self.services().settings
        limit = settings.worker_max_rss if settings.redis_url else 0
        return MemoryWatch(limit, is_alone=self.cfg.workers == 1, announce=self._expect_replacement)

    def _expect_replacement(self) -> None:
        self._is_replaced = True

    def services(self) -> Services:
        """The services of the app that this worker runs."""
        return self.wsgi.extensions[EXTENSION]  # type: ignore[no-any-return]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: no new calls; those under way may end by themselves, for a while."""
        super().handle_exit(sig, frame)
        if self.booted:
            gevent.spawn(self._end_idle_connections)
            gevent.spawn_later(max(0.0, self.cfg.graceful_timeout - LAST_MOMENT), self.services().calls.stop)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """A connection, with its requests one after the other."""
        if not self.alive and not self._is_replaced:
            client.close()
            return
        self._idle.add(client)
        self._beginners[client] = timer = gevent.get_hub().loop.timer(self.services().settings.client_timeout)
        timer.start(_hang_up, client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)
            self._beginners.pop(client, timer).close()

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """One request."""
        self._idle.discard(sock)
        if timer := self._beginners.pop(sock, None):
            timer.close()
        request_validation.check(req)
        req.body = body = ClientBody(req.body.reader)
        sock.settimeout(self.services().settings.client_timeout)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:  # the client has taken nothing for so long
            raise StopIteration from None
        finally:
            sock.settimeout(None)
            if body.is_pending:
                req.force_close()
                _linger(sock)
        if not self.alive:
            raise StopIteration  # gunicorn's way to say: no further request on this connection
        self._idle.add(sock)

    def handle_error(self, _: Any, client: socket.socket, __: Any, error: BaseException) -> None:
        """A request that gunicorn cannot read, or an accident of its own: the last answer on this connection."""
        if isinstance(error, BodyBroken | NoMoreData) or not isinstance(error, Exception):
            return  # what was left of a request that has its answer; nobody to answer
        fault = request_validation.fault_of(error)
        if fault.status >= 500:
            log.error("a request failed in the server", exc_info=error)
        else:
            log.info("a request cannot be read", extra={"status": fault.status, "why": type(error).__name__})
        parts = self.services()
        parts.metrics.request_ended("other", UNMATCHED, fault.status, 0.0)
        allowed = {"Access-Control-Allow-Origin": "*"} if "*" in parts.settings.cors_origins else {}
        with contextlib.suppress(OSError):
            client.sendall(early_response.last_answer(fault, security_headers.HEADERS | allowed))
        _linger(client)

    def _end_idle_connections(self) -> None:
        """Those between two requests at once, and those whose first one has not come in another moment."""
        for clients in (self._idle - self._beginners.keys(), self._idle & self._beginners.keys()):
            for client in clients & self._idle:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RD)
            gevent.sleep(BEGINNING)


def _hang_up(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _linger(client: socket.socket) -> None:
    """Read on for a moment what nobody wants: a connection closed before that is reset, and the answer lost."""
    left = LINGER_BYTES
    with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(LINGER):
        client.shutdown(socket.SHUT_WR)
        while left > 0 and (data := client.recv(65_536)):
            left -= len(data)
            gevent.sleep(0)  # others' turn, also while the client sends without end
