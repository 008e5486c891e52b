"""The parts of Redis that fail independently: the primaries of a Cluster, or the one server of any other client."""

import functools
import time
from collections.abc import Callable
from typing import Any

from broker.quota.redis_clients.cluster import ClusterClient
from broker.quota.redis_clients.single import RedisClient

PAUSE = 1.0  # seconds after a failure in which no script is sent


def shard_of(client: Any, key: str) -> str:
    """The name of the part that holds `key`; empty if it is not known yet."""
    if isinstance(client, ClusterClient):
        return client.shard_of(key)
    return client.name if isinstance(client, RedisClient) else ""


def shards_of(client: Any) -> dict[str, str]:
    """The names of the known parts, each with a hash tag whose keys it holds."""
    if isinstance(client, ClusterClient):
        return dict(client.shards()) or {"": "ready"}
    return {shard_of(client, ""): "ready"}


def primaries_of(client: Any) -> list[Callable[..., Any]]:
    """Return for each primary a function that runs a command there. Raises `redis.RedisError`."""
    if isinstance(client, ClusterClient):
        return [functools.partial(client.on_primary, address) for address in client.primaries()]
    return [client.execute_command]


class Health:
    """The state of one part, as shown by the scripts sent to it."""

    def __init__(self) -> None:
        self.is_up: bool | None = None
        self.changes = 0  # how often `is_up` has changed
        self._paused_until = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether no script should be sent for now."""
        return time.monotonic() < self._paused_until

    def begin(self) -> int:
        """Note that a script is about to be sent. After a failure, others are paused until its outcome is known."""
        if self.is_up is False:
            self._paused_until = time.monotonic() + PAUSE
        return self.changes

    def end_pause(self, changes: int) -> None:
        """End the pause after a success that does not prove a recovery."""
        if self.is_up is False and changes == self.changes:
            self._paused_until = 0.0

    def record(self, changes: int, *, is_up: bool) -> None:
        """Record the outcome of a script sent after `changes` changes. An older script's outcome is ignored."""
        if changes != self.changes:
            return
        self._paused_until = 0.0 if is_up else time.monotonic() + PAUSE
        if is_up is not self.is_up:
            self.changes += 1
            self.is_up = is_up
