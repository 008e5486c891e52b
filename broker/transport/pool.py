"""Idle connections to one server: newest first, bounded in number and age, a few opened ahead of need."""

import time
from collections import deque
from typing import Any

import gevent

from broker.transport.connector import Connector, is_alive
from broker.transport.options import Options

REAP_INTERVAL = 5.0  # seconds between checks of the idle connections


class Pool:
    """The idle connections of one worker. A connection is either in the pool or in use by one exchange."""

    def __init__(self, url: str, options: Options) -> None:
        self._options = options
        self._connector = Connector(url, options)
        self._idle: deque[tuple[Any, float]] = deque()  # with the time since which each is idle, oldest first
        self._reaper: Any = None
        self._opener: Any = None

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, connect_timeout: float) -> tuple[Any, bool]:
        """A connection, and whether it has been used before. Raises as `Connector.open`."""
        sock = self._newest_idle()
        self._open_ahead(connect_timeout)
        if sock is not None:
            return sock, True
        return self.open(connect_timeout), False

    def open(self, connect_timeout: float) -> Any:
        """A new connection. Raises as `Connector.open`."""
        return self._connector.open(connect_timeout)

    def give_back(self, sock: Any) -> None:
        """Keep a connection for reuse; the oldest one is closed if there are too many."""
        self._connector.remember_session(sock)
        self._keep(sock)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[0].close()

    def _newest_idle(self) -> Any:
        """The newest idle connection that can be used; all others that are too old are closed."""
        while self._idle:
            sock, since = self._idle.pop()
            if time.monotonic() - since > self._options.idle_timeout:
                sock.close()
                self.close()  # they are older still
            elif is_alive(sock):
                return sock
            else:
                sock.close()
        return None

    def _keep(self, sock: Any) -> None:
        self._idle.append((sock, time.monotonic()))
        if len(self._idle) > self._options.max_idle:
            self._idle.popleft()[0].close()
        self._start_reaper()

    def _reap(self) -> None:
        """Close connections that are too old or that the server has closed, until none is left."""
        self._reaper = None  # first: if this fails, the next idle connection starts it again
        for _ in range(len(self._idle)):
            sock, since = self._idle.popleft()
            if time.monotonic() - since <= self._options.idle_timeout and is_alive(sock):
                self._idle.append((sock, since))
            else:
                sock.close()
        if self._idle:
            self._start_reaper()

    def _start_reaper(self) -> None:
        if self._reaper is None:
            self._reaper = gevent.spawn_later(min(REAP_INTERVAL, self._options.idle_timeout), self._reap)

    def _open_ahead(self, connect_timeout: float) -> None:
        """Open connections in the background while fewer than `Options.warm` are idle."""
        if len(self._idle) < self._options.warm and not self._opener:
            self._opener = gevent.spawn(self._fill, connect_timeout)

    def _fill(self, connect_timeout: float) -> None:
        try:
            while len(self._idle) < self._options.warm:
                self._keep(self.open(connect_timeout))
        except OSError:
            return  # the next call opens its own connection and reports the failure
