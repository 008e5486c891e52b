"""Redis as the operator's commands use it: scripts, and the names of keys on every primary."""

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from broker.quota.redis_clients.cluster import ClusterClient
from broker.quota.redis_clients.failures import describe
from broker.quota.redis_clients.shards import primaries_of
from broker.quota.redis_clients.urls import Client
from broker.quota.users import user_scripts

PAGE = 1_000  # keys that one SCAN looks at
AT_ONCE = 100  # users that one script reads


class RedisFailed(Exception):
    """Redis failed a command. The message names the cause, without the URL."""


class RedisAccess:
    """Runs one command after the other."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def run(self, script: str, keys: tuple[str, ...], *arguments: object) -> Any:
        """Return the result of `script`. Raises `RedisFailed`."""
        try:
            return self._client.eval(script, len(keys), *keys, *arguments)
        except (RedisError, RedisClusterException, OSError) as error:
            raise _failed(error) from None

    def summaries(self, keys: Sequence[tuple[str, ...]]) -> list[list[int]]:
        """Return the rows of `user_scripts.SUMMARIES` for the keys of each user. Raises `RedisFailed`.

        In a Cluster a script takes the keys of one slot only, which are those of one user.
        """
        at_once = 1 if isinstance(self._client, ClusterClient) else AT_ONCE
        rows: list[list[int]] = []
        for first in range(0, len(keys), at_once):
            some = keys[first : first + at_once]
            rows += self.run(user_scripts.SUMMARIES, tuple(key for user in some for key in user))
        return rows

    def count_keys(self) -> int:
        """Return the number of keys on all primaries, of all projects. Raises `RedisFailed`."""
        try:
            return sum(int(command("DBSIZE")) for command in primaries_of(self._client))
        except (RedisError, RedisClusterException, OSError) as error:
            raise _failed(error) from None

    def scan(self, pattern: str) -> Iterator[list[str]]:
        """Yield the names of the keys that match `pattern`, after every `PAGE` keys looked at; some may come twice.

        Reads the primaries one after the other: https://redis.io/docs/latest/commands/scan/. Raises `RedisFailed`.
        """
        try:
            for command in primaries_of(self._client):
                cursor = 0
                while True:
                    next_cursor, names = command("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
                    yield [name.decode(errors="replace") for name in names]
                    cursor = int(next_cursor)
                    if not cursor:
                        break
        except (RedisError, RedisClusterException, OSError) as error:
            raise _failed(error) from None


def _failed(error: Exception) -> RedisFailed:
    failure = describe(error)
    return RedisFailed(f"Redis failed ({failure.kind}): {failure.words}")
