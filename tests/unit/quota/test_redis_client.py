"""The short way to a Redis: replies, refusals, and connections that have gone stale or silent."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from broker.quota.redis_client import RedisClient
from tests.integration.waiting import within
from tests.servers import ScriptedServer


@contextlib.contextmanager
def asking(*responses: bytes | None) -> Iterator[tuple[redis.Redis, ScriptedServer]]:
    """A client that does not tell its name first, and its server, which says these things."""
    server = ScriptedServer(responses)
    client = RedisClient(port=server.port, socket_timeout=0.2, protocol=2, driver_info=None)
    yield client, server
    client.close()
    server.close()


def test_a_connection_serves_one_command_after_the_other() -> None:
    """Also after a refusal, which is a whole reply."""
    with asking(b":1\r\n", b"-NOSCRIPT No matching script.\r\n", b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        with pytest.raises(redis.exceptions.NoScriptError):
            client.evalsha("b", 0)
        assert client.evalsha("c", 0) == 2
    assert server.connections == 1


def test_a_stale_connection_is_replaced_at_once() -> None:
    """Nobody hears of it."""
    with asking(b":1\r\n", None, b":2\r\n") as (client, server):
        assert client.evalsha("a", 0) == 1
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


def test_a_silent_redis_is_not_asked_twice() -> None:
    """And what it says late is not taken for the answer to another command."""
    with asking(b"", b":2\r\n") as (client, server):
        with pytest.raises(redis.TimeoutError):
            client.evalsha("a", 0)
        assert client.evalsha("b", 0) == 2
    assert server.connections == 2


def test_a_reply_that_came_while_nobody_looked_is_no_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was busy for long says nothing of Redis."""
    with asking(b":1\r\n", b":2\r\n") as (client, server):
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
