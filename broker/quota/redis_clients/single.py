"""A client for a single Redis without redis-py's per-command overhead.

Half of redis-py's time per command is a check (gevent's `poll`) of whether the connection is alive. A quarter is
instrumentation, maintenance notifications and command options that the broker does not use.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import MasterDownError, ReadOnlyError

PROVEN = 1.0  # seconds since the last reply for which a connection counts as alive
_IS_REPLICA = (ReadOnlyError, MasterDownError)

Connect = Callable[[], Any]  # opens a connection; raises `redis.RedisError`


@dataclass(frozen=True)
class Limits:
    """Times in seconds: for opening a connection, for a reply, and for which an unused connection is kept."""

    connect: float
    reply: float
    idle: float


@dataclass(slots=True)
class _Kept:
    connection: Any
    generation: int
    used_at: float


class RedisClient:
    """Runs commands. Raises redis-py's exceptions. A stale connection is detected by using it.

    A command may therefore reach Redis twice. Send only idempotent commands.

    After a connection failed, or if Redis turned out to be a replica, all kept connections are closed: after a
    fail-over behind one name they all lead to the wrong server.
    """

    def __init__(self, connect: Connect, limits: Limits, name: str) -> None:
        """`connect` may be called by several greenlets at once. `name` is for the log: a host, without secrets."""
        self.name = name
        self._connect = connect
        self._limits = limits
        self._idle: deque[_Kept] = deque()  # the one used last is at the right
        self._generation = 0

    def evalsha(self, digest: str, keys: int, *arguments: Any) -> Any:
        """https://redis.io/docs/latest/commands/evalsha/."""
        return self.execute_command("EVALSHA", digest, keys, *arguments)

    def eval(self, script: str, keys: int, *arguments: Any) -> Any:
        """https://redis.io/docs/latest/commands/eval/."""
        return self.execute_command("EVAL", script, keys, *arguments)

    def info(self) -> Any:
        """https://redis.io/docs/latest/commands/info/, as bytes."""
        return self.execute_command("INFO")

    def execute_command(self, *command: Any, after: tuple[Any, ...] = ()) -> Any:
        """Return the reply. `after` is a command sent directly before, whose reply is dropped."""
        commands = (after, command) if after else (command,)
        limit, kept = self._limits.reply, self._take()
        if kept is not None:
            is_proven = time.monotonic() - kept.used_at < PROVEN
            try:
                return self._exchange(kept, commands, limit if is_proven else limit / 2)
            except redis.TimeoutError:
                if is_proven:
                    raise
                limit /= 2  # a NAT may have dropped the connection; the rest of the time is for a new one
            except (redis.ConnectionError, *_IS_REPLICA):
                pass  # stale: retry at once
        return self._exchange(self._open(), commands, limit)

    def close(self) -> None:
        """Close the kept connections. Those in use are closed once their reply has come."""
        self._generation += 1
        while self._idle:
            self._idle.pop().connection.disconnect()

    def _take(self) -> _Kept | None:
        oldest = time.monotonic() - self._limits.idle
        while self._idle and self._idle[0].used_at < oldest:
            self._idle.popleft().connection.disconnect()
        return self._idle.pop() if self._idle else None

    def _open(self) -> _Kept:
        generation = self._generation
        return _Kept(self._connect(), generation, time.monotonic())

    def _exchange(self, kept: _Kept, commands: tuple[tuple[Any, ...], ...], limit: float) -> Any:
        try:
            reply = _exchange(kept.connection, commands, limit)
        except redis.ResponseError as error:
            if isinstance(error, _IS_REPLICA):
                kept.connection.disconnect()
                self.close()
            else:
                self._keep(kept)
            raise
        except BaseException as error:
            kept.connection.disconnect()  # it may hold half a reply
            if isinstance(error, redis.RedisError):
                self.close()
            raise
        self._keep(kept)
        return reply

    def _keep(self, kept: _Kept) -> None:
        if kept.generation != self._generation:
            kept.connection.disconnect()
            return
        kept.used_at = time.monotonic()
        self._idle.append(kept)


def _exchange(connection: Any, commands: tuple[tuple[Any, ...], ...], limit: float) -> Any:
    *before, reply = connection.exchange(commands, limit)
    for one in before:
        if isinstance(one, redis.RedisError):
            raise redis.ConnectionError("the first of two commands failed") from one
    if isinstance(reply, redis.RedisError):
        raise reply
    return reply
