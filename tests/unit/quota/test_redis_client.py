"""RedisClient: replies, errors, stale connections and a Redis that does not answer."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from broker.quota.redis_client import RedisClient
from tests.integration.waiting import within
from tests.servers import ScriptedServer


@contextlib.contextmanager
def connected_to(*responses: bytes | None) -> Iterator[tuple[redis.Redis, ScriptedServer]]:
    """A client that sends no CLIENT SETINFO, and a server that replies with these."""
    server = ScriptedServer(responses)
    client = RedisClient(port=server.port, socket_timeout=0.2, protocol=2, driver_info=None)
    yield client, server
    client.close()
    server.close()


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


def test_a_reply_that_arrives_while_the_worker_is_busy_is_not_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was busy does not report a time-out of Redis."""
    with connected_to(b":1\r\n", b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        read = redis.Connection.read_response
        late = iter([True])

        def busy(connection: redis.Connection, *arguments: Any, **options: Any) -> Any:
            if next(late, False):
                within(1, connection.can_read)
                raise redis.TimeoutError
            return read(connection, *arguments, **options)

        monkeypatch.setattr(redis.Connection, "read_response", busy)
        assert client.evalsha("b", 0) == 2
    assert server.connections == 1
