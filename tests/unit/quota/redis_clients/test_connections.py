"""Connections to Redis: keep-alive probes, and one time limit for look-up and connect."""

import socket
import time
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import pytest
import redis

from broker.errors.network import DNS, REFUSED, TIMEOUT, kind_of
from broker.quota.redis_clients import connections
from broker.quota.redis_clients.connections import TcpConnection

LIMIT = 0.3


def connection(port: int) -> TcpConnection:
    return TcpConnection(
        host="localhost", port=port, socket_connect_timeout=LIMIT, socket_timeout=1.0, driver_info=None, protocol=2
    )


def test_an_idle_connection_is_probed() -> None:
    """The kernel sends the first probe after 15 s, before common NATs drop the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = connection(server.getsockname()[1])
        opened.connect()
        sock = opened._get_socket()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        opened.disconnect()


def test_a_slow_name_look_up_is_within_the_connect_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error differs from that of a slow server. The late result serves the next connection."""
    answered = gevent.event.Event()
    addresses, lookups = socket.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM), []

    def slow(*_: Any, **__: Any) -> Any:
        lookups.append(1)
        answered.wait()
        return addresses

    monkeypatch.setattr("broker.transport.lookups.socket", SimpleNamespace(**vars(socket) | {"getaddrinfo": slow}))
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError) as error:
            connection(1).connect()
        assert kind_of(error.value) == DNS
    assert time.monotonic() - started < 20 * LIMIT
    answered.set()
    with pytest.raises(redis.ConnectionError) as error:
        connection(1).connect()
    assert kind_of(error.value) == REFUSED
    assert len(lookups) == 1


def test_a_name_that_does_not_exist_has_its_own_error() -> None:
    """`.invalid` never exists (RFC 6761)."""
    unknown = connection(1)
    unknown.host = "redis.invalid"
    unknown._socket_connect_timeout = 5
    with pytest.raises(redis.ConnectionError) as error:
        unknown.connect()
    assert kind_of(error.value) == DNS


def test_all_addresses_of_a_name_share_the_connect_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address of a name would otherwise take the whole time-out."""

    class SilentSocket(gevent.socket.socket):
        def connect(self, address: Any) -> None:
            gevent.sleep(self.gettimeout() or 0)
            raise TimeoutError

    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in range(1, 9)]
    monkeypatch.setattr(connections, "resolve", lambda *_: addresses)
    monkeypatch.setattr(connections, "socket", SimpleNamespace(**vars(socket) | {"socket": SilentSocket}))
    started = time.monotonic()
    with pytest.raises(redis.TimeoutError) as error:
        connection(1).connect()
    assert time.monotonic() - started < 6 * LIMIT  # eight addresses
    assert kind_of(error.value) == TIMEOUT
