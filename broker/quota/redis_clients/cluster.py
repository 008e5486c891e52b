"""A client for a Redis Cluster: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/."""

import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis
from gevent.lock import BoundedSemaphore
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from broker.quota.redis_clients.sentinel import Address, first_results
from broker.quota.redis_clients.single import RedisClient

SLOTS = 16_384
TRY_AGAIN_AFTER = 0.01  # seconds; while a slot moves, some keys of a script may be at either node
ASKED = 5  # nodes and seeds that are asked for the slot table
REFRESH_INTERVAL = 1.0  # seconds between reads of the slot table that redirections ask for


class ClusterClient:
    """Runs scripts on the primary that owns their keys. Raises redis-py's exceptions.

    The slot table is read with the first command, after a failure, and after redirections.
    """

    def __init__(self, seeds: Sequence[Address], client_for: Callable[[Address], RedisClient], limit: float) -> None:
        """`client_for` makes a client for a node; `limit`: seconds for one command with all its redirections."""
        self._seeds = seeds
        self._client_for = client_for
        self._limit = limit
        self._clients: dict[Address, RedisClient] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._nodes: list[Address] = []
        self._is_stale = True
        self._read_at = 0.0
        self._refreshing = BoundedSemaphore(1)

    def evalsha(self, digest: str, keys: int, *arguments: Any) -> Any:
        """https://redis.io/docs/latest/commands/evalsha/."""
        return self._run(arguments[0], ("EVALSHA", digest, keys, *arguments))

    def eval(self, script: str, keys: int, *arguments: Any) -> Any:
        """https://redis.io/docs/latest/commands/eval/."""
        return self._run(arguments[0], ("EVAL", script, keys, *arguments))

    def info(self) -> Any:
        """The replies of all primaries to INFO, by address."""
        return {f"{host}:{port}": self._client((host, port)).info() for host, port in self.primaries()}

    def primaries(self) -> list[Address]:
        """The nodes that own slots. Raises `redis.RedisError` if the slot table cannot be read."""
        self._refresh()
        return sorted({owner for owner in self._owners if owner is not None})

    def on_primary(self, address: Address, *command: Any) -> Any:
        """Run a command on one node."""
        return self._client(address).execute_command(*command)

    def shard_of(self, key: str) -> str:
        """The address of the primary that owns `key` as far as known, else an empty text."""
        owner = self._owners[key_slot(key.encode())]
        return f"{owner[0]}:{owner[1]}" if owner else ""

    def shards(self) -> Mapping[str, str]:
        """The addresses of the known primaries, each with a key tag that belongs to it."""
        found: dict[str, str] = {}
        owners = {owner for owner in self._owners if owner is not None}
        number = 0
        while len(found) < len(owners):
            found.setdefault(self.shard_of(f"{{{number}}}"), str(number))
            found.pop("", None)
            number += 1
        return found

    def close(self) -> None:
        """Close the connections to all nodes."""
        for client in self._clients.values():
            client.close()

    def _run(self, key: str, command: tuple[Any, ...]) -> Any:
        slot, deadline = key_slot(key.encode()), time.monotonic() + self._limit
        if self._is_stale or self._owners[slot] is None:
            self._refresh()
        address, after = self._owner(slot), ()
        while True:
            try:
                return self._client(address).execute_command(*command, after=after)
            except (redis.ConnectionError, redis.TimeoutError, ClusterDownError):
                self._is_stale = True
                raise
            except (AskError, TryAgainError) as error:
                if time.monotonic() > deadline:
                    raise
                address, after = self._next(error, address, after)

    def _next(self, error: Exception, address: Address, after: tuple[Any, ...]) -> tuple[Address, tuple[Any, ...]]:
        """The next node of a redirected command, and the command to send before it."""
        if not isinstance(error, AskError):
            time.sleep(TRY_AGAIN_AFTER)
            return address, after
        target = (error.host or address[0], error.port)  # an empty host: the one that was asked
        if not isinstance(error, MovedError):
            return target, ("ASKING",)
        self._owners[error.slot_id] = target
        self._is_stale = time.monotonic() - self._read_at > REFRESH_INTERVAL
        return target, ()

    def _owner(self, slot: int) -> Address:
        owner = self._owners[slot]
        if owner is None:
            raise ClusterDownError("no node owns the slot")
        return owner

    def _client(self, address: Address) -> RedisClient:
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._client_for(address)
        return client

    def _refresh(self) -> None:
        """Read the slot table from the node that sends one first, so that a frozen node does not delay it."""
        asked_at = time.monotonic()
        with self._refreshing:
            if self._read_at >= asked_at:
                return  # read meanwhile for another command
            nodes = dict.fromkeys([*random.sample(self._nodes, min(len(self._nodes), ASKED)), *self._seeds[:ASKED]])
            asking = [functools.partial(self._read_slots, node) for node in nodes]
            ((self._owners, self._nodes),) = first_results(asking, 1, self._limit)
            self._is_stale, self._read_at = False, time.monotonic()
        for gone in self._clients.keys() - {*self._nodes, *self._seeds}:
            self._clients.pop(gone).close()

    def _read_slots(self, node: Address) -> tuple[list[Address | None], list[Address]]:
        """The owner of each slot, and all nodes: https://redis.io/docs/latest/commands/cluster-slots/.

        Raises `ClusterDownError` if the table is empty: the node was removed from the cluster, or has lost its disk.
        """
        owners: list[Address | None] = [None] * SLOTS
        nodes: dict[Address, None] = {}
        for first, last, *replicas in self._client(node).execute_command("CLUSTER", "SLOTS"):
            addresses = [(_host(replica[0]) or node[0], int(replica[1])) for replica in replicas]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            nodes.update(dict.fromkeys(addresses))
        if not nodes:
            raise ClusterDownError("the node knows no slots")
        return owners, list(nodes)


def _host(name: bytes | None) -> str:
    """A node that does not know its own address sends null, an empty text or "?"."""
    host = (name or b"").decode()
    return "" if host == "?" else host
