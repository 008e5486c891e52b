"""A client for a single Redis without redis-py's per-command overhead.

Half of redis-py's time per command is a check (gevent's `poll`) of whether the connection is alive. A quarter is
instrumentation, maintenance notifications and command options that the broker does not use.
"""

import math
import time
from typing import Any

import redis


class RedisClient(redis.Redis):  # type: ignore[misc]  # mypy does not follow redis-py's types
    """Commands and exceptions are redis-py's. A stale connection is detected by using it.

    A command may therefore reach Redis twice. Send only idempotent commands.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: list[Any] = []

    def execute_command(self, *args: Any, **_: Any) -> Any:
        """Return the reply. Raises `redis.RedisError`."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            return self._send(connection, args)
        except BaseException as error:
            if not isinstance(error, redis.ResponseError):
                connection.disconnect()  # it may hold half a reply
            raise
        finally:
            self._idle.append(connection)

    def _connect(self) -> Any:
        started = time.monotonic()
        try:
            return self.connection_pool.get_connection()
        except redis.TimeoutError:
            allowed = self.connection_pool.connection_kwargs.get("socket_connect_timeout") or math.inf
            if time.monotonic() - started < 2 * allowed:
                raise
        return self.connection_pool.get_connection()  # the worker was too busy to see the connection open

    def _send(self, connection: Any, command: tuple[Any, ...]) -> Any:
        packed = connection.pack_command(*command)
        try:
            connection.send_packed_command(packed)
            return _read_reply(connection)
        except redis.ConnectionError:
            # Retry once, at once: the connection may have gone stale. Never retry after a time-out.
            connection.disconnect()
            connection.send_packed_command(packed)
            return _read_reply(connection)


def _read_reply(connection: Any) -> Any:
    """Return Redis' reply. If it arrived while the worker was busy, read it instead of timing out."""
    try:
        return connection.read_response(disconnect_on_error=False)
    except redis.TimeoutError:
        if not connection.can_read():
            raise
        return connection.read_response()
