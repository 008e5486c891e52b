"""A client for a single Redis whose commands take the shortest way.

Of the time that redis-py takes for a command, the half goes into asking (with gevent's `poll`) whether the connection
is still alive, and a quarter into what the broker does not use: observers, notices of maintenance, options of commands.
"""

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
        connection = self._idle.pop() if self._idle else self.connection_pool.get_connection()
        try:
            return self._ask(connection, args)
        except BaseException as error:
            if not isinstance(error, redis.ResponseError):
                connection.disconnect()  # half a reply may be in it
            raise
        finally:
            self._idle.append(connection)

    def _ask(self, connection: Any, command: tuple[Any, ...]) -> Any:
        packed = connection.pack_command(*command)
        try:
            connection.send_packed_command(packed)
            return connection.read_response()
        except redis.ConnectionError:
            # once more, at once, because the connection may have gone stale; never after a time-out
            connection.disconnect()
            connection.send_packed_command(packed)
            return connection.read_response()
