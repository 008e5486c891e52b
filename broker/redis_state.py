"""What an operator has to know of a Redis that counts calls: does it answer, write, keep, and never evict."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from broker.redis_urls import Client


class RedisAway(Exception):
    """It gave no answer; the message says how, without its URL."""


@dataclass(frozen=True)
class RedisState:
    """`policy` and `keeps` are None where a managed Redis does not tell."""

    is_writable: bool
    keeps: bool | None
    policy: str | None
    used_share: float | None  # of its memory limit


def look_at(client: Client) -> RedisState:
    """Ask it; nothing is changed. Raises `RedisAway`."""
    try:
        client.ping()
        info = client.info()
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisAway(type(error).__name__) from None
    limit = info.get("maxmemory") or 0
    return RedisState(
        is_writable=info.get("role", "master") == "master",
        keeps=_keeps(info),
        policy=info.get("maxmemory_policy"),
        used_share=info["used_memory"] / limit if limit and "used_memory" in info else None,
    )


def _keeps(info: dict[str, Any]) -> bool | None:
    return bool(info["aof_enabled"]) if "aof_enabled" in info else None
