"""A Cluster of six nodes under load: a primary is killed and frozen, and slots move while calls run."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import RedisError

from tests.integration.conftest import StartBroker, User
from tests.integration.load import Load
from tests.integration.redis_drills import ClusterNode, SixNodeCluster
from tests.integration.waiting import within

SOON = 5.0  # seconds after the new primary is known within which all calls are served


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SixNodeCluster]:
    made = SixNodeCluster(tmp_path)
    yield made
    made.stop()


def primaries(cluster: SixNodeCluster) -> list[ClusterNode]:
    found = []
    for node in cluster.nodes:
        with contextlib.suppress(RedisError):
            if node.client.info("replication")["role"] == "master":
                found.append(node)
    return found


@pytest.mark.parametrize("fault", [ClusterNode.stop, ClusterNode.freeze])
def test_the_fail_over_of_a_primary_affects_only_its_users_and_briefly(
    cluster: SixNodeCluster,
    start_broker: StartBroker,
    new_user: Callable[..., User],
    fault: Callable[[ClusterNode], None],
) -> None:
    """Users on other primaries are served throughout; no call is counted twice."""
    broker = start_broker("/ready", REDIS_URL=cluster.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    users = [new_user(broker) for _ in range(9)]
    for node in cluster.nodes:
        node.client.socket_timeout = 1
    masters = primaries(cluster)
    old, others = masters[0], [node for node in cluster.nodes if node is not masters[0]]
    with Load(users) as load:
        time.sleep(1)
        fault(old)
        began = time.monotonic()
        within(20, lambda: sum(node.client.info("replication")["role"] == "master" for node in others) == 3)
        known = time.monotonic()
        within(SOON + 5, lambda: all(user.post("/gpt-4o", {}).status_code == 400 for user in users))
        time.sleep(1)
    refused = [answer.began for answer in load.answers if not answer.is_good]
    meanwhile = [answer for answer in load.answers if began < answer.began < known]
    assert {answer.code for answer in load.answers} <= {"", "usage_unavailable"}
    assert max(refused, default=known) < known + SOON
    assert any(answer.is_good for answer in meanwhile)
    served = len(load.answers) - len(refused)

    def settled() -> int:
        return sum(score == math.inf for node in others for key in _keys(node) for score in _scores(node, key))

    at_risk = len([answer for answer in load.answers if answer.is_good and began - 1 < answer.began < known])
    within(5, lambda: settled() >= served - at_risk)
    time.sleep(1)  # a call that is counted twice would show by now
    assert settled() <= served


def test_slots_move_while_calls_run(
    cluster: SixNodeCluster, start_broker: StartBroker, new_user: Callable[..., User]
) -> None:
    """MOVED and ASK are followed: no call is refused, and none is counted twice."""
    broker = start_broker("/ready", REDIS_URL=cluster.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    users = [new_user(broker) for _ in range(4)]
    with Load(users) as load:
        time.sleep(0.5)
        for user in users:
            _move_slot_of(cluster, user)
        time.sleep(0.5)
    assert {(answer.status, answer.code) for answer in load.answers} == {(200, "")}
    within(5, lambda: cluster.scores("*:calls:*").count(math.inf) >= len(load.answers))
    assert cluster.scores("*:calls:*").count(math.inf) == len(load.answers)


def _keys(node: ClusterNode) -> list[str]:
    is_master = node.client.info("replication")["role"] == "master"
    return list(node.client.keys("*:calls:*")) if is_master else []


def _scores(node: ClusterNode, key: str) -> list[float]:
    return [score for _, score in node.client.zrange(key, 0, -1, withscores=True)]


def _move_slot_of(cluster: SixNodeCluster, user: User) -> None:
    """Move the slot of a user's keys to another primary, key by key: https://redis.io/commands/cluster-setslot/."""
    masters = primaries(cluster)
    source = next(node for node in masters if any(user.id.encode() in key for key in node.client.keys("*:calls:*")))
    target = next(node for node in masters if node is not source)
    key = next(key for key in source.client.keys("*:calls:*") if user.id.encode() in key)
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", key)
    ids = {node: node.client.execute_command("CLUSTER", "MYID").decode() for node in (source, target)}
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 1000, "KEYS", *keys)
    for node in (target, source, *masters):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
