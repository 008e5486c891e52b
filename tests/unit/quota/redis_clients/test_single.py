"""RedisClient: replies, errors, stale connections and a Redis that does not answer."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from broker.quota.redis_clients.single import Limits, RedisClient
from broker.quota.redis_clients.urls import connect
from tests.servers import ScriptedServer

REPLY_TIMEOUT = 0.2
LIMITS = Limits(connect=0.2, reply=REPLY_TIMEOUT, idle=55)


@contextlib.contextmanager
def connected_to(*responses: bytes | None, limits: Limits = LIMITS) -> Iterator[tuple[RedisClient, ScriptedServer]]:
    """Return a client, and a server with these replies."""
    server = ScriptedServer(responses)
    client = connect(f"redis://127.0.0.1:{server.port}", limits)
    yield client, server
    client.close()
    server.close()


def age(client: RedisClient, seconds: float) -> None:
    """Make the kept connections older."""
    for kept in client._idle:
        kept.used_at -= seconds


def test_a_connection_serves_one_command_after_the_other() -> None:
    """An error reply is a complete reply and leaves the connection usable."""
    with connected_to(b":1\r\n", b"-NOSCRIPT No matching script.\r\n", b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        with pytest.raises(redis.exceptions.NoScriptError):
            client.evalsha("b", 0)
        assert client.evalsha("c", 0) == 2
    assert server.connections == 1


def test_a_stale_connection_is_replaced_at_once() -> None:
    """The caller gets the reply, without an exception."""
    with connected_to(b":1\r\n", None, b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


def test_a_silent_redis_is_not_asked_twice() -> None:
    """Its late reply is not read as the reply to the next command."""
    with connected_to(b"", b":2\r\n") as (client, server):
        with pytest.raises(redis.TimeoutError):
            client.evalsha("a", 0)
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


def test_an_idle_connection_that_a_nat_forgot_is_replaced_within_the_time_out() -> None:
    """Half of the time-out is for the idle connection, the rest for a new one."""
    with connected_to(b":1\r\n", b"", b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        age(client, 30)
        started = time.monotonic()
        assert client.evalsha("b", 0) == 2
        assert REPLY_TIMEOUT / 2 <= time.monotonic() - started < REPLY_TIMEOUT
    assert server.connections == 2


def test_a_connection_that_was_idle_for_too_long_is_not_used() -> None:
    """It is closed, and so are older ones."""
    with connected_to(b":1\r\n", b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        age(client, 56)
        started = time.monotonic()
        assert client.evalsha("b", 0) == 2
        assert time.monotonic() - started < REPLY_TIMEOUT / 2
        assert len(client._idle) == 1
    assert server.connections == 2


def test_a_redis_that_became_a_replica_is_left_at_once() -> None:
    """After a fail-over behind one name, a new connection leads to the new primary."""
    readonly = b"-READONLY You can't write against a read only replica.\r\n"
    with connected_to(b":1\r\n", readonly, b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


def test_a_replica_behind_a_new_connection_is_an_error_and_is_not_kept() -> None:
    """The next command opens a new connection."""
    readonly = b"-READONLY You can't write against a read only replica.\r\n"
    with connected_to(readonly, b":2\r\n") as (client, server):
        with pytest.raises(redis.ReadOnlyError):
            client.evalsha("a", 0)
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


class FakeConnection:
    """Replies with its number, or fails."""

    def __init__(self, number: int, failing: set[int]) -> None:
        self.number = number
        self.is_open = True
        self._failing = failing

    def exchange(self, commands: Sequence[Any], _: float) -> list[int]:
        if self.number in self._failing:
            raise redis.TimeoutError
        return [self.number] * len(commands)

    def disconnect(self) -> None:
        self.is_open = False


def test_after_a_failure_no_older_connection_is_used() -> None:
    """After a fail-over all of them lead to the wrong server, and each would cost a time-out."""
    failing: set[int] = set()
    opened: list[FakeConnection] = []

    def open_connection() -> FakeConnection:
        opened.append(FakeConnection(len(opened), failing))
        return opened[-1]

    client = RedisClient(open_connection, LIMITS, "fake")
    in_use = [client._open() for _ in range(3)]
    for kept in in_use[:2]:
        client._keep(kept)
    failing.add(1)
    with pytest.raises(redis.TimeoutError):
        client.execute_command("PING")
    client._keep(in_use[2])
    assert not any(connection.is_open for connection in opened)
    assert client.execute_command("PING") == 3
