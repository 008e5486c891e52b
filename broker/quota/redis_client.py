"""A client for a single Redis whose commands take the shortest way.

Of the time that redis-py takes for a command, the half goes into asking (with gevent's `poll`) whether the connection
is still alive, and a quarter into what the broker does not use: observers, notices of maintenance, options of commands.
"""

import math
import time
from typing import Any

import redis


class RedisClient(redis.Redis):  # type: ignore[misc]  # redis-py's types are not in mypy's sight
    """Commands and faults are redis-py's. A connection that has gone stale is found out by using it.

    So a command may reach Redis twice: whatever is sent here must bear that.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle: list[Any] = []

    def execute_command(self, *args: Any, **_: Any) -> Any:
        """The reply. Raises `redis.RedisError`."""
        connection = self._idle.pop() if self._idle else self._connect()
        try:
            return self._ask(connection, args)
        except BaseException as error:
            if not isinstance(error, redis.ResponseError):
                connection.disconnect()  # half a reply may be in it
            raise
        finally:
            self._idle.append(connection)

    def _connect(self) -> Any:
        began = time.monotonic()
        try:
            return self.connection_pool.get_connection()
        except redis.TimeoutError:
            allowed = self.connection_pool.connection_kwargs.get("socket_connect_timeout") or math.inf
            if time.monotonic() - began < 2 * allowed:
                raise
        return self.connection_pool.get_connection()  # it was this worker that was too busy to look

    def _ask(self, connection: Any, command: tuple[Any, ...]) -> Any:
        packed = connection.pack_command(*command)
        try:
            connection.send_packed_command(packed)
            return _reply(connection)
        except redis.ConnectionError:
            # once more, at once, because the connection may have gone stale; never after a time-out
            connection.disconnect()
            connection.send_packed_command(packed)
            return _reply(connection)


def _reply(connection: Any) -> Any:
    """What Redis says. A time-out is none where this worker was too busy to look in time: then the reply is here."""
    try:
        return connection.read_response(disconnect_on_error=False)
    except redis.TimeoutError:
        if not connection.can_read():
            raise
        return connection.read_response()
