"""DirectExchange: whole commands and replies, in whatever pieces they come, and the failures of a connection."""

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import redis
from gevent import socket

from broker.quota.redis_clients.exchange import DirectExchange

PING = (("PING",),)


class Connected(DirectExchange, redis.Connection):  # type: ignore[misc]  # mypy does not follow redis-py's types
    """A connection whose socket is one of a pair."""


@pytest.fixture
def pair() -> Iterator[tuple[Connected, Any]]:
    near, far = socket.socketpair()
    connection = Connected(protocol=2)
    connection._sock = near
    with near, far:
        yield connection, far


def test_a_reply_comes_in_pieces(pair: tuple[Connected, Any]) -> None:
    """One receive may also return the end of a reply and the whole next one."""
    connection, server = pair
    server.sendall(b"*2\r\n:1\r\n$3\r\nab")
    gevent.spawn_later(0.02, server.sendall, b"c\r\n:2\r\n")
    assert connection.exchange((("GET", "a"), ("GET", 5)), 5) == [[1, b"abc"], 2]
    assert server.recv(100) == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\n5\r\n"


def test_a_command_larger_than_the_socket_s_buffer_is_sent_whole(pair: tuple[Connected, Any]) -> None:
    connection, server = pair
    received = bytearray()

    def read() -> None:
        while not received.endswith(b"end\r\n"):
            received.extend(server.recv(65_536))
        server.sendall(b"+OK\r\n")

    gevent.spawn(read)
    assert connection.exchange((("SET", "a" * 4_000_000 + "end"),), 5) == [b"OK"]
    assert received.count(b"a") == 4_000_000


def test_error_replies_have_redis_py_s_classes(pair: tuple[Connected, Any]) -> None:
    connection, server = pair
    server.sendall(b"-READONLY replica.\r\n-MOVED 5 10.0.0.1:6379\r\n-LOADING wait\r\n+OK\r\n")
    replies = connection.exchange(PING * 4, 5)
    assert [type(reply) for reply in replies] == [
        redis.ReadOnlyError,
        redis.exceptions.MovedError,
        redis.BusyLoadingError,
        bytes,
    ]


def test_a_reply_that_arrives_while_the_worker_is_busy_is_not_a_time_out(pair: tuple[Connected, Any]) -> None:
    """The time-out fires although the reply is there: the worker was too busy to read it."""
    connection, server = pair

    def reply_and_block() -> None:
        server.sendall(b"+PONG\r\n")
        time.sleep(0.3)  # blocks the whole worker, unlike gevent's

    gevent.spawn_later(0.05, reply_and_block)
    assert connection.exchange(PING, 0.1) == [b"PONG"]


def test_silence_is_a_time_out(pair: tuple[Connected, Any]) -> None:
    with pytest.raises(redis.TimeoutError):
        pair[0].exchange(PING, 0.05)


def test_a_closed_connection_is_an_error(pair: tuple[Connected, Any]) -> None:
    connection, server = pair
    server.sendall(b"+PO")
    server.close()
    with pytest.raises(redis.ConnectionError):
        connection.exchange(PING, 5)


def test_garbage_is_an_error(pair: tuple[Connected, Any]) -> None:
    connection, server = pair
    server.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(redis.InvalidResponse):
        connection.exchange(PING, 5)
