"""What an operator has to know of a Redis that counts calls: does it answer, write, keep, and never evict."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisClusterException, RedisError

from broker.quota.redis_urls import Client


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
        facts = _facts(client.info())
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisAway(type(error).__name__) from None
    limit = int(facts.get("maxmemory", 0))
    return RedisState(
        is_writable=facts.get("role", "master") == "master",
        keeps=facts["aof_enabled"] != "0" if "aof_enabled" in facts else None,
        policy=facts.get("maxmemory_policy"),
        used_share=int(facts.get("used_memory", 0)) / limit if limit else None,
    )


def _facts(info: Any) -> dict[str, str]:
    """The answer to https://redis.io/docs/latest/commands/info/: as text, as an object, or as one for each node."""
    if isinstance(info, bytes):
        return dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
    first = next(iter(info.values()), None)
    return {name: str(value) for name, value in (first if isinstance(first, dict) else info).items()}
