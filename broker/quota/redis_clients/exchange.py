"""Exchanges commands with Redis over the socket of a redis-py connection.

redis-py opens the connection, signs in and names the errors. Its own `send_packed_command` and `read_response` take
half as much processor time again: a generator over the arguments, `sendall`, and two changes of the time-out.
"""

from collections.abc import Sequence
from typing import Any

import hiredis
import redis

from broker.transport.receiver import receive_late

READ_SIZE = 16_384  # bytes of one receive; the largest TLS record
_INCOMPLETE = object()

Command = tuple[Any, ...]


class DirectExchange:
    """Beside a connection class of redis-py, for the replies of RESP 2."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._replies = hiredis.Reader(
            protocolError=redis.InvalidResponse,
            replyError=self._parser.parse_error,  # type: ignore[attr-defined]  # of the redis-py class beside this one
            notEnoughData=_INCOMPLETE,
        )

    def exchange(self, commands: Sequence[Command], limit: float) -> list[Any]:
        """Send `commands` and return their replies. Error replies are exceptions in the list.

        `limit`: seconds for each wait. A reply that arrived while the worker was busy is not a time-out. Raises
        `redis.ConnectionError`, `redis.TimeoutError` or `redis.InvalidResponse`, and leaves the connection open.
        """
        sock: Any = self._sock  # type: ignore[attr-defined]  # of the redis-py class beside this one
        try:
            sock.settimeout(limit)
            data = b"".join(map(hiredis.pack_command, commands))
            sent = sock.send(data)
            if sent < len(data):
                sock.sendall(data[sent:])
            return [self._read(sock) for _ in commands]
        except TimeoutError as error:
            raise redis.TimeoutError("no reply in time") from error
        except OSError as error:
            raise redis.ConnectionError("the connection failed") from error

    def _read(self, sock: Any) -> Any:
        while (reply := self._replies.gets()) is _INCOMPLETE:
            try:
                data = sock.recv(READ_SIZE)
            except TimeoutError:
                data = receive_late(sock)
            if not data:
                raise redis.ConnectionError("the connection was closed")
            self._replies.feed(data)
        return reply
