"""Receives from a socket with one watcher and one timer for all waits.

gevent's `recv` tries to read before it waits, and makes a time-out for each wait: 9 of 23 microseconds that it takes to
receive a token over TLS.
"""

from typing import Any

from gevent import get_hub, getcurrent
from gevent.ssl import SSLWantReadError

READ_SIZE = 16_384  # bytes of one receive; the largest TLS record
_READ = 1  # libev's EV_READ


class Receiver:
    """The receiving half of a gevent socket, for one greenlet at a time. The socket's time-out bounds each wait."""

    __slots__ = ("_hub", "_pending", "_readable", "_sock", "_timer")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._hub = get_hub()
        self._pending = getattr(sock, "pending", _nothing)
        self._readable: Any = None
        self._timer: Any = None

    def receive(self) -> bytes:
        """The next bytes; b"" at the end. Raises TimeoutError, or another OSError."""
        try:
            if not self._pending():
                self._wait()
            data: bytes = self._sock.recv(READ_SIZE)
        except TimeoutError:
            data = receive_late(self._sock)
        return data

    def set_timeout(self, seconds: float) -> None:
        """Bound each wait from now on."""
        self._sock.settimeout(seconds)
        self.close()

    def close(self) -> None:
        """Release the watcher and the timer. They are made again when needed."""
        if self._readable is not None:
            self._readable.close()
            self._timer.close()
            self._readable = self._timer = None

    def _wait(self) -> None:
        if self._readable is None:
            seconds = self._sock.gettimeout()
            self._readable = self._hub.loop.io(self._sock.fileno(), _READ)
            self._timer = self._hub.loop.timer(seconds, seconds)
        self._timer.again(getcurrent().throw, TimeoutError, update=True)
        try:
            self._hub.wait(self._readable)
        finally:
            self._timer.stop()


def receive_late(sock: Any) -> bytes:
    """Data that arrived in time, while the worker was too busy to read it. Raises TimeoutError if there is none."""
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        data: bytes = sock.recv(READ_SIZE)
    except (BlockingIOError, SSLWantReadError):
        raise TimeoutError("no data in time") from None
    finally:
        sock.settimeout(timeout)
    return data


def _nothing() -> int:
    """The buffered bytes of a plain socket."""
    return 0
