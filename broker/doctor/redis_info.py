"""Reads whether a Redis answers, accepts writes, persists them, and never evicts."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from broker.quota.redis_clients.urls import Client


class RedisAway(Exception):
    """Redis did not answer. The message names the cause, without the URL."""


@dataclass(frozen=True)
class RedisState:
    """`policy` and `is_persistent` are None if a managed Redis hides them."""

    is_writable: bool
    is_persistent: bool | None
    policy: str | None
    used_share: float | None  # of its memory limit


def read_redis(client: Client) -> RedisState:
    """Return the state of Redis. Raises `RedisAway`."""
    try:
        facts = _facts(client.info())
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisAway(type(error).__name__) from None
    limit = int(facts.get("maxmemory", 0))
    return RedisState(
        is_writable=facts.get("role", "master") == "master",
        is_persistent=facts["aof_enabled"] != "0" if "aof_enabled" in facts else None,
        policy=facts.get("maxmemory_policy"),
        used_share=int(facts.get("used_memory", 0)) / limit if limit else None,
    )


def _facts(info: Any) -> dict[str, str]:
    """Parse the reply to INFO (https://redis.io/docs/latest/commands/info/): text, an object, or one per node."""
    if isinstance(info, bytes):
        return dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
    first = next(iter(info.values()), None)
    return {name: str(value) for name, value in (first if isinstance(first, dict) else info).items()}
