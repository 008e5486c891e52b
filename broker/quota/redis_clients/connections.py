"""Connections to one Redis server. Look-up, TCP and TLS together take at most the connect time-out.

redis-py bounds only each TCP connect: a name look-up, each further address and each step of TLS come on top.
"""

import socket
import ssl
import time
from typing import Any

import gevent
import redis

from broker.quota.redis_clients.exchange import DirectExchange
from broker.transport.lookups import resolve

BUSY = 1.25  # a time-out that fires later than its limit by this factor means that the worker was busy
# A dead peer is detected after 30 s. The probes keep entries in NAT tables alive: common limits are 60 s and more.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class UnixConnection(DirectExchange, redis.UnixDomainSocketConnection):  # type: ignore[misc]  # as for TcpConnection
    """A connection to a Unix socket."""


class TcpConnection(DirectExchange, redis.Connection):  # type: ignore[misc]  # mypy does not follow redis-py's types
    """A connection with keep-alive probes, whose name look-up is within the connect time-out."""

    def _connect(self) -> socket.socket:
        """Raises `OSError`: `gaierror` if the look-up failed or took too long, `TimeoutError` for the rest."""
        started = time.monotonic()
        deadline = started + self.socket_connect_timeout
        addresses = resolve(self.host, self.port, self.socket_connect_timeout)
        try:
            return self._connect_within(addresses, deadline)
        except TimeoutError:
            if time.monotonic() - started < BUSY * self.socket_connect_timeout:
                raise
        # the worker was too busy to notice that the connection opened
        return self._connect_within(addresses, time.monotonic() + self.socket_connect_timeout)

    def _connect_within(self, addresses: list[Any], deadline: float) -> socket.socket:
        timer = gevent.Timeout(max(deadline - time.monotonic(), 0.001))
        timer.start()
        try:
            opened = self._open(addresses, deadline)
        except gevent.Timeout as fired:
            if fired is not timer:
                raise
            raise TimeoutError("connecting timed out") from None
        finally:
            timer.close()
        opened.settimeout(self.socket_timeout)
        return opened

    def _open(self, addresses: list[Any], deadline: float) -> socket.socket:
        failure = OSError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            opened = socket.socket(family, kind, protocol)
            try:
                self._prepare(opened)
                opened.settimeout(max(deadline - time.monotonic(), 0.001))
                opened.connect(address)
            except OSError as error:
                opened.close()
                failure = error
            except BaseException:  # the time limit
                opened.close()
                raise
            else:
                return opened
        raise failure

    def _prepare(self, opened: socket.socket) -> None:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


class TlsConnection(TcpConnection):
    """A connection over TLS. All share one context: making one takes 10 ms and more."""

    def __init__(self, *, tls_context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._tls_context = tls_context

    def _open(self, addresses: list[Any], deadline: float) -> socket.socket:
        opened = super()._open(addresses, deadline)
        try:
            return self._tls_context.wrap_socket(opened, server_hostname=self.host)
        except BaseException:
            opened.close()
            raise
