"""gunicorn's gevent worker, with a good end.

gunicorn kills a worker that is not done within `graceful_timeout`, and then no `finally` runs: so
a moment before, every open call is ended with its last line, its upstream closed, its count settled.
And a worker that has to go neither takes new connections, nor waits for idle ones to be used again.
"""

import contextlib
import socket
from types import FrameType
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from broker.services import EXTENSION, Services

LAST_MOMENT = 3.0  # seconds before the kill


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """One process that serves calls."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: set[socket.socket] = set()

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
        if not self.alive:
            client.close()
            return
        self._idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        """One request."""
        self._idle.discard(sock)
        super().handle_request(listener_name, req, sock, addr)
        if not self.alive:
            raise StopIteration  # gunicorn's way to say: no further request on this connection
        self._idle.add(sock)

    def _end_idle_connections(self) -> None:
        for client in list(self._idle):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RD)
