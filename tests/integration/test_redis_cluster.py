"""A Cluster of six nodes under load: a primary is killed and frozen, and slots move while calls run."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import fail_over, ledger
from tests.integration.conftest import StartBroker, User
from tests.integration.load import Load
from tests.integration.redis_drills import ClusterNode, SixNodeCluster
from tests.integration.redis_flavours import PASSWORD, PLAIN, SECURED, USER, VALKEY, Flavour
from tests.integration.waiting import within

DRILLS = [(SECURED, ClusterNode.stop), (PLAIN, ClusterNode.freeze), (VALKEY, ClusterNode.stop)]


@pytest.fixture
def cluster(tmp_path: Path, flavour: Flavour) -> Iterator[SixNodeCluster]:
    made = SixNodeCluster(tmp_path, flavour)
    yield made
    made.stop()


@pytest.mark.parametrize(("flavour", "fault"), DRILLS, ids=lambda part: getattr(part, "name", ""))
def test_the_fail_over_of_a_primary_affects_only_its_users_and_briefly(
    cluster: SixNodeCluster,
    start_broker: StartBroker,
    new_user: Callable[..., User],
    fault: Callable[[ClusterNode], None],
) -> None:
    """Users on other primaries are served throughout; no call is counted twice; few are lost with the old primary."""
    broker = start_broker("/ready", REDIS_URL=cluster.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    for node in cluster.nodes:
        node.client.connection_pool.connection_kwargs["socket_timeout"] = 1
    old = cluster.primaries()[0]
    others = [node for node in cluster.nodes if node is not old]

    def wait_for_new() -> float:
        within(20, lambda: sum(node.client.info("replication")["role"] == "master" for node in others) == 3)
        return time.monotonic()

    outcome = fail_over.drill(
        broker,
        [new_user(broker) for _ in range(9)],
        lambda: fault(old),
        wait_for_new,
        lambda: [node.client for node in others if node.client.info("replication")["role"] == "master"],
    )

    print(f"Cluster, {old.flavour.name}, {fault.__name__}: {outcome}")
    assert outcome.codes <= {"", "usage_unavailable"}
    assert outcome.refused_after < fail_over.SOON
    assert outcome.meanwhile > 0
    assert outcome.lost <= outcome.at_risk
    assert outcome.is_balanced, outcome.books


@pytest.mark.parametrize("flavour", [SECURED, VALKEY], ids=lambda flavour: flavour.name)
def test_slots_move_while_calls_run(
    cluster: SixNodeCluster, start_broker: StartBroker, new_user: Callable[..., User]
) -> None:
    """MOVED and ASK are followed: no call is refused, and none is counted twice."""
    broker = start_broker("/ready", REDIS_URL=cluster.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    users = [new_user(broker) for _ in range(3)]
    with Load(users) as load:
        time.sleep(0.5)
        for user in users:
            _move_slot_of(cluster, user)
        time.sleep(0.5)
    assert {(answer.status, answer.code) for answer in load.answers} == {(200, "")}
    redirections = _redirections(cluster)
    assert redirections["errorstat_MOVED"] > 0
    assert redirections["errorstat_ASK"] > 0
    within(5, lambda: _counted(cluster) >= len(load.answers))
    assert _counted(cluster) == len(load.answers)


def _counted(cluster: SixNodeCluster) -> int:
    clients = [node.client for node in cluster.primaries()]
    return sum(one.zcount(key, ledger.COUNTED, "+inf") for one in clients for key in one.keys("*:calls:*"))


def _redirections(cluster: SixNodeCluster) -> Counter[str]:
    """The errors that the nodes have sent, by kind."""
    sent: Counter[str] = Counter()
    for node in cluster.nodes:
        sent.update({kind: int(stat["count"]) for kind, stat in node.client.info("errorstats").items()})
    return sent


def _move_slot_of(cluster: SixNodeCluster, user: User) -> None:
    """Move the slot of a user's keys to another primary, key by key: https://redis.io/commands/cluster-setslot/."""
    masters = cluster.primaries()
    source = next(node for node in masters if any(user.id.encode() in key for key in node.client.keys("*:calls:*")))
    target = next(node for node in masters if node is not source)
    key = next(key for key in source.client.keys("*:calls:*") if user.id.encode() in key)
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", key)
    ids = {node: node.client.execute_command("CLUSTER", "MYID").decode() for node in (source, target)}
    account = ("AUTH2", USER, PASSWORD) if source.flavour.is_secured else ()
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 1000, *account, "KEYS", *keys)
    # The slot is the source's, its keys are at the target: calls are sent there by ASK. A client that does not say ASKING
    # is sent back and forth, for longer than it may take.
    time.sleep(1.2)
    for node in (target, source, *masters):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
