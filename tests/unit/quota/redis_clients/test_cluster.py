"""ClusterClient: which node gets a command, and redirections."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from broker.quota.redis_clients.cluster import ClusterClient

ONE, TWO, THREE = ("one", 1), ("two", 2), ("three", 3)
KEY = "key"
SLOT = key_slot(KEY.encode())
Replies = Callable[..., Any]


class Node:
    """A node with scripted replies, each a value or an exception."""

    def __init__(self, slots: list[Any], *replies: Any) -> None:
        self.slots = slots
        self.replies = list(replies)
        self.asked: list[tuple[Any, ...]] = []
        self.is_closed = False

    def execute_command(self, *command: Any, after: tuple[Any, ...] = ()) -> Any:
        if command == ("CLUSTER", "SLOTS"):
            reply: Any = self.slots
        else:
            self.asked.append((*after, command[0]))
            reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self.is_closed = True


def slots(first: tuple[str, int], second: tuple[str, int] = TWO, host: bytes | None = None) -> list[Any]:
    """CLUSTER SLOTS: the slot of the key and those before belong to `first`, the others to `second`."""
    return [
        [0, SLOT, [host if host is not None else first[0].encode(), first[1], b"id", []], [b"three", 3, b"id", []]],
        [SLOT + 1, 16_383, [second[0].encode(), second[1], b"id", []]],
    ]


def cluster(**nodes: Node) -> ClusterClient:
    made = {ONE: nodes.get("one"), TWO: nodes.get("two"), THREE: nodes.get("three")}
    return ClusterClient([ONE], lambda address: made[address], 0.5)  # type: ignore[arg-type, return-value]  # stand-ins


def test_a_command_goes_to_the_owner_of_its_first_key() -> None:
    """The slot table is read once."""
    one, two = Node(slots(TWO, ONE)), Node([], 7, 8)
    client = cluster(one=one, two=two)
    assert client.evalsha("digest", 1, KEY, "argument") == 7
    assert client.eval("script", 1, KEY) == 8
    assert (one.asked, two.asked) == ([], [("EVALSHA",), ("EVAL",)])
    assert client.shard_of(KEY) == "two:2"


@pytest.mark.parametrize("host", [b"", b"?"])
def test_a_node_that_does_not_know_its_address_is_the_one_that_was_asked(host: bytes) -> None:
    """See https://redis.io/docs/latest/commands/cluster-slots/."""
    one = Node(slots(ONE, host=host), 7)
    assert cluster(one=one, three=Node([])).eval("script", 1, KEY) == 7


def test_a_moved_slot_is_found_at_once_and_remembered() -> None:
    """MOVED is permanent."""
    one, two = Node(slots(ONE), MovedError(f"{SLOT} two:2")), Node(slots(TWO), 7, 8)
    client = cluster(one=one, two=two, three=Node([]))
    assert client.eval("script", 1, KEY) == 7
    one.slots = slots(TWO)
    assert client.eval("script", 1, KEY) == 8
    assert two.asked == [("EVAL",), ("EVAL",)]


def test_a_slot_that_is_moving_is_asked_for_at_its_new_node_once() -> None:
    """ASK holds for one command, which ASKING precedes. Keys at both nodes are tried again."""
    one = Node(slots(ONE), AskError(f"{SLOT} two:2"), 9)
    two = Node([], TryAgainError("both"), 7)
    client = cluster(one=one, two=two)
    assert client.eval("script", 1, KEY) == 7
    assert two.asked == [("ASKING", "EVAL"), ("ASKING", "EVAL")]
    assert client.eval("script", 1, KEY) == 9


def test_endless_redirections_end_in_an_error() -> None:
    """They end within the time limit of one command."""
    one = Node(slots(ONE), *[TryAgainError("both")] * 1000)
    with pytest.raises(TryAgainError):
        cluster(one=one).eval("script", 1, KEY)


@pytest.mark.parametrize("error", [redis.ConnectionError(), redis.TimeoutError(), ClusterDownError("down")])
def test_after_a_failure_the_slot_table_is_read_again(error: Exception) -> None:
    """The first node that replies provides it; nodes that left the cluster are closed."""
    one, two, three = Node(slots(THREE), 8), Node([]), Node([], error)
    client = cluster(one=one, two=two, three=three)
    with pytest.raises(type(error)):
        client.eval("script", 1, KEY)
    one.slots = [[0, 16_383, [b"one", 1, b"id", []]]]
    three.slots = redis.ConnectionError()
    two.slots = redis.ConnectionError()
    assert client.eval("script", 1, KEY) == 8
    assert three.is_closed
    assert not one.is_closed


def test_a_node_outside_the_cluster_does_not_provide_the_slot_table() -> None:
    """A node that was removed or has lost its disk replies with an empty table, often as the first one."""
    made = {ONE: Node([]), TWO: Node(slots(TWO), 7), THREE: Node([])}
    client = ClusterClient([ONE, TWO], lambda address: made[address], 0.5)  # type: ignore[arg-type, return-value]  # as above
    assert client.eval("script", 1, KEY) == 7


def test_a_slot_without_a_node_is_an_error() -> None:
    """A cluster that is being built has such slots."""
    with pytest.raises(ClusterDownError):
        cluster(one=Node([])).eval("script", 1, KEY)


def test_each_primary_has_a_key_tag_of_its_own() -> None:
    """Each primary can be probed."""
    client = cluster(one=Node(slots(ONE)), two=Node([]))
    assert client.primaries() == [ONE, TWO]
    shards = client.shards()
    assert set(shards) == {"one:1", "two:2"}
    assert {client.shard_of(f"{{{tag}}}") for tag in shards.values()} == set(shards)
