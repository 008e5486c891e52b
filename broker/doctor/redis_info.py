"""Reads whether Redis answers, accepts writes, persists them and never evicts, on every primary of a Cluster."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from broker.quota import scripts
from broker.quota.redis_clients.cluster import ClusterClient
from broker.quota.redis_clients.failures import Failure, describe
from broker.quota.redis_clients.shards import shards_of
from broker.quota.redis_clients.urls import Client

TAGS = 16  # keys that a single Redis must hold; a node of a Cluster redirects some of them


class RedisUnavailable(Exception):
    """Redis did not answer. The message names the cause, without the URL."""


@dataclass(frozen=True)
class RedisState:
    """`policy` and `is_persistent` are None if a managed Redis hides them. Of several nodes, the worst counts.

    `refusal`: why a primary refuses a script that writes, None if all run it.
    """

    is_writable: bool
    is_persistent: bool | None
    policy: str | None
    used_share: float | None  # of its memory limit
    refusal: Failure | None = None


def read_redis(client: Client) -> RedisState:
    """Return the state of Redis. Raises `RedisUnavailable`."""
    try:
        nodes = _nodes(client.info())
    except (RedisError, RedisClusterException, OSError) as error:
        failure = describe(error)
        raise RedisUnavailable(f"{failure.kind}: {failure.words}") from None
    persistent = [node["aof_enabled"] != "0" for node in nodes if "aof_enabled" in node]
    policies = sorted({node["maxmemory_policy"] for node in nodes if "maxmemory_policy" in node} - {"noeviction"})
    shares = [_used_share(node) for node in nodes if int(node.get("maxmemory", 0))]
    return RedisState(
        is_writable=all(node.get("role", "master") == "master" for node in nodes),
        is_persistent=all(persistent) if persistent else None,
        policy=policies[0] if policies else nodes[0].get("maxmemory_policy"),
        used_share=max(shares, default=None),
        refusal=_refusal(client),
    )


def _refusal(client: Client) -> Failure | None:
    """Write a short-lived key to every primary, with a script, as the broker does."""
    tags = shards_of(client).values() if isinstance(client, ClusterClient) else map(str, range(TAGS))
    try:
        for tag in tags:
            client.eval(scripts.PROBE, 1, f"gpt-broker:{{{tag}}}")
    except (RedisError, RedisClusterException, OSError) as error:
        return describe(error)
    return None


def _used_share(node: dict[str, str]) -> float:
    return int(node.get("used_memory", 0)) / int(node["maxmemory"])


def _nodes(info: Any) -> list[dict[str, str]]:
    """Parse the reply to INFO (https://redis.io/docs/latest/commands/info/): text, an object, or one per node."""
    if isinstance(info, bytes):
        return [dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)]
    if all(isinstance(node, (bytes, dict)) for node in info.values()):
        return [node for reply in info.values() for node in _nodes(reply)]
    return [{name: str(value) for name, value in info.items()}]
