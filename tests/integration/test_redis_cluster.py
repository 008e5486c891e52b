"""A Cluster of six nodes under load: a primary is killed and frozen, and slots move while calls run."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.errors.base import UsageUnavailable
from broker.quota.redis_clients import urls
from broker.quota.redis_clients.single import Limits
from broker.quota.redis_store import Store
from broker.telemetry.metrics import Metrics
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
    assert outcome.is_balanced, outcome.counters


@pytest.mark.parametrize("flavour", [SECURED, VALKEY], ids=lambda flavour: flavour.name)
def test_slots_move_while_calls_run(
    cluster: SixNodeCluster, start_broker: StartBroker, new_user: Callable[..., User]
) -> None:
    """MOVED, ASK and TRYAGAIN are followed: no call is refused, and none is counted twice."""
    broker = start_broker("/ready", REDIS_URL=cluster.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    users = [new_user(broker) for _ in range(4)]
    with Load(users) as load:
        time.sleep(0.5)
        for user in users:
            with _moving_slot_of(cluster, user.id):
                time.sleep(0.2)
        time.sleep(0.5)
    assert {(answer.status, answer.code) for answer in load.answers} == {(200, "")}
    assert {"errorstat_MOVED", "errorstat_ASK"} <= _errors(cluster)
    within(5, lambda: _counted(cluster) >= len(load.answers))
    assert _counted(cluster) == len(load.answers)


@pytest.mark.parametrize("flavour", [PLAIN], ids=lambda flavour: flavour.name)
def test_a_key_is_found_while_its_slot_moves(cluster: SixNodeCluster) -> None:
    """At the old owner before it has moved, at the new one after ASKING, and by MOVED at the end."""
    client, text = urls.connect(cluster.url, Limits(0.25, 0.5, 55)), "return redis.call('INCR', KEYS[1])"
    name = "gpt-broker:{x:ada}:calls:2026-11-24"

    assert client.eval(text, 1, name) == 1
    with _moving_slot_of(cluster, "x:ada"):
        assert client.eval(text, 1, name) == 2
    assert client.eval(text, 1, name) == 3
    assert {"errorstat_MOVED", "errorstat_ASK"} <= _errors(cluster)


@pytest.mark.parametrize("flavour", [PLAIN], ids=lambda flavour: flavour.name)
def test_a_slot_that_stays_half_moved_affects_only_its_users(cluster: SixNodeCluster) -> None:
    """TRYAGAIN, also after a move that was interrupted, concerns the keys of one slot: the others of the node go on."""
    client = urls.connect(cluster.url, Limits(1.0, 0.5, 55))
    store, text = Store(client, Metrics()), "return redis.call('EXISTS', unpack(KEYS))"
    store.run("return redis.call('SET', KEYS[1], 1)", ("{ada}:calls",), 1)
    neighbour = next(f"{{{n}}}" for n in range(100) if client.shard_of(f"{{{n}}}") == client.shard_of("{ada}"))
    source, target, *_ = sorted(cluster.primaries(), key=lambda node: not node.client.keys("{ada}:calls"))
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", "{ada}")
    ids = [node.client.execute_command("CLUSTER", "MYID").decode() for node in (source, target)]
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    with pytest.raises(UsageUnavailable):
        store.run(text, ("{ada}:calls", "{ada}:blocked"), 2)
    assert store.run(text, (f"{neighbour}:calls", f"{neighbour}:blocked"), 2) == 0


def _counted(cluster: SixNodeCluster) -> int:
    clients = [node.client for node in cluster.primaries()]
    return sum(one.zcount(key, ledger.COUNTED, "+inf") for one in clients for key in one.keys("*:calls:*"))


def _errors(cluster: SixNodeCluster) -> set[str]:
    """The kinds of errors that the nodes have sent."""
    return {kind for node in cluster.nodes for kind in node.client.info("errorstats")}


@contextlib.contextmanager
def _moving_slot_of(cluster: SixNodeCluster, user: str) -> Iterator[None]:
    """A user's keys have moved to another primary, and the slot follows: https://redis.io/commands/cluster-setslot/."""
    masters = cluster.primaries()
    source, key = next((node, key) for node in masters for key in node.client.keys(f"*{user}*:calls:*"))
    target = next(node for node in masters if node is not source)
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", key)
    ids = {node: node.client.execute_command("CLUSTER", "MYID").decode() for node in (source, target)}
    account = ("AUTH2", USER, PASSWORD) if source.flavour.is_secured else ()
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
        source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 1000, *account, "KEYS", *keys)
    yield
    for node in (target, source, *masters):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
