"""Reading a Redis's state from every form in which clients return INFO."""

from typing import Any

import pytest
import redis
from redis.exceptions import MovedError, NoPermissionError

from broker.doctor.redis_info import RedisState, RedisUnavailable, read_redis

FACTS = {
    "role": "master", "aof_enabled": 1, "maxmemory": 1000, "used_memory": 900, "maxmemory_policy": "noeviction",
}  # fmt: skip
TEXT = "# Server\r\n" + "".join(f"{name}:{value}\r\n" for name, value in FACTS.items())


class Client:
    """Returns this answer to INFO."""

    def __init__(self, answer: Any, written: Any = b"OK") -> None:
        """`written`: the answer to a script that writes."""
        self._answer = answer
        self._written = written

    def info(self) -> Any:
        """Return or raise the answer, as a Redis client does."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def eval(self, *_: Any) -> Any:
        """Return or raise the answer to the script."""
        if isinstance(self._written, Exception):
            raise self._written
        return self._written


@pytest.mark.parametrize(
    "answer",
    [TEXT.encode(), FACTS, {"10.0.0.1:6379": FACTS, "10.0.0.2:6379": FACTS}, {"10.0.0.1:6379": TEXT.encode()}],
)
def test_every_form_of_the_answer_is_read(answer: Any) -> None:
    """INFO may be text, parsed, or one reply per node of a cluster."""
    assert read_redis(Client(answer)) == RedisState(
        is_writable=True, is_persistent=True, policy="noeviction", used_share=0.9
    )


def test_the_worst_node_of_a_cluster_counts() -> None:
    """One node without persistence loses the counts of its users."""
    other = FACTS | {"aof_enabled": 0, "used_memory": 990, "maxmemory_policy": "allkeys-lru"}
    assert read_redis(Client({"10.0.0.1:6379": FACTS, "10.0.0.2:6379": other})) == RedisState(
        is_writable=True, is_persistent=False, policy="allkeys-lru", used_share=0.99
    )


def test_hidden_values_of_a_managed_redis_are_unknown() -> None:
    """A hidden value is not reported as wrong."""
    state = read_redis(Client({"role": "slave"}))
    assert state == RedisState(is_writable=False, is_persistent=None, policy=None, used_share=None)


def test_a_refused_write_has_its_cause() -> None:
    """INFO shows none of these: an account without scripts, a node of a Cluster, a full disk."""
    for error, kind in (
        (NoPermissionError("no permissions to run 'eval'"), "account"),
        (MovedError("1 10.0.0.2:6379"), "cluster"),
        (redis.ResponseError("MISCONF Errors writing to the AOF file"), "full"),
    ):
        refusal = read_redis(Client(FACTS, error)).refusal
        assert refusal is not None
        assert refusal.kind == kind


def test_a_timeout_is_named_without_the_url() -> None:
    """The URL may contain a password."""
    with pytest.raises(RedisUnavailable, match=r"^timeout: TimeoutError$"):
        read_redis(Client(redis.TimeoutError("redis://:planted@host")))
