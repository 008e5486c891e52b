"""A connected socket whose waits are the event loop's own, each bounded by one time-out that costs nothing to renew.

gevent's sockets ask the kernel before they wait, so that a stream costs a failed receive and a new timer for every
token. Here a receive that brought less than it could is known to have emptied the socket, and one timer serves all
waits of an answer.
"""

import contextlib
import select
import socket
import ssl
import time
from typing import Any

import gevent
from gevent import monkey

READ_SIZE = 16_384  # bytes asked of one receive: the most that a TLS record holds
_READ, _WRITE = 1, 2


class Channel:
    """One connection, for one exchange at a time: `open` it for each, `rest` between them."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._sock = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._watchers: dict[int, Any] = {}
        self._timer: Any = None
        self._waiting: Any = None
        self._waits_for = 0
        self._since = 0.0
        self._timeout = 0.0
        self._is_drained = False

    def set_timeout(self, seconds: float) -> None:
        """How long each wait may take from now on."""
        self._timeout = seconds
        if self._timer is not None:
            self._timer.close()
        self._timer = gevent.get_hub().loop.timer(seconds)
        self._timer.start(self._check_time)

    def receive(self) -> bytes:
        """What one receive brings, b"" at the end. Raises TimeoutError, or another OSError."""
        if self._is_drained:
            self._wait(_READ)
        while True:
            try:
                data = self._sock.recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(_READ)
                continue
            # a TLS socket holds back what is left of a record, and the kernel would not tell
            self._is_drained = len(data) < READ_SIZE and not self._is_tls
            return data

    def send(self, data: bytes) -> None:
        """All of `data`. Raises TimeoutError, or another OSError."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(_WRITE)
            except ssl.SSLWantReadError:
                self._wait(_READ)

    def rest(self) -> None:
        """The exchange is over: wait for nothing, and hold nothing of the event loop's."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def is_alive(self) -> bool:
        """Whether the peer has neither closed the connection nor said something unasked."""
        return not self._is_ready(_READ)

    def close(self) -> None:
        """Hang up."""
        self.rest()
        with contextlib.suppress(OSError):
            self._sock.close()

    def _wait(self, events: int) -> None:
        self._since = time.monotonic()
        self._waiting = gevent.getcurrent()
        self._waits_for = events
        watcher = self._watcher(events)
        if not watcher.active:
            watcher.start(self._wake, events)
        try:
            gevent.get_hub().switch()
        finally:
            self._waiting = None

    def _wake(self, events: int) -> None:
        """The socket is ready. A watcher stays for the next wait, until it wakes nobody."""
        if self._waiting is not None and self._waits_for == events:
            self._waiting.switch()
        else:
            self._watchers[events].stop()

    def _watcher(self, events: int) -> Any:
        watcher = self._watchers.get(events)
        if watcher is None:
            watcher = self._watchers[events] = gevent.get_hub().loop.io(self._sock.fileno(), events)
        return watcher

    def _is_ready(self, events: int) -> bool:
        poll = monkey.get_original("select", "poll")()
        poll.register(self._sock.fileno(), select.POLLIN if events == _READ else select.POLLOUT)
        return bool(poll.poll(0))

    def _check_time(self) -> None:
        """The timer went off: time is up, or it was when the present wait had just begun."""
        left = self._timeout
        if self._waiting is not None:
            left -= time.monotonic() - self._since
            if left <= 0 and not self._is_ready(self._waits_for):
                self._waiting.throw(TimeoutError("nothing came in time"))
                return
            left = left if left > 0 else self._timeout  # it was this worker that was too busy to look
        self._timer.close()
        self._timer = gevent.get_hub().loop.timer(left)
        self._timer.start(self._check_time)
