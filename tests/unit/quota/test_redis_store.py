"""Store: the part of Redis that is paused after a failure, and the causes. test_quota.py covers the rest."""

from typing import Any

import pytest
import redis
from redis import exceptions

from broker.errors.base import UsageUnavailable
from broker.errors.network import CUT, REFUSED, TIMEOUT
from broker.quota import scripts
from broker.quota.redis_clients import failures
from broker.quota.redis_clients.cluster import ClusterClient
from broker.quota.redis_clients.failures import describe
from broker.quota.redis_store import Store
from broker.telemetry.metrics import Metrics


class TwoShards(ClusterClient):
    """A cluster whose keys name their node; no node is asked."""

    def __init__(self) -> None:
        super().__init__([], lambda _: None, 0.5)  # type: ignore[arg-type, return-value]  # no node is asked
        self.down: set[str] = set()
        self.asked: list[str] = []

    def shard_of(self, key: str) -> str:
        return key.partition("{")[2].rstrip("}")

    def shards(self) -> dict[str, str]:
        return {"one:1": "one:1", "two:2": "two:2"}

    def evalsha(self, digest: str, keys: int, *arguments: Any) -> Any:
        shard = self.shard_of(arguments[0])
        self.asked.append(shard)
        if shard in self.down:
            raise redis.TimeoutError("redis://:planted@host")
        return 1


def test_a_cluster_fails_only_in_part(caplog: pytest.LogCaptureFixture) -> None:
    """Users whose keys are on another primary are served; the log names the one that failed, once."""
    client, metrics = TwoShards(), Metrics()
    store = Store(client, metrics)
    store.probe()
    assert store.is_up
    client.down.add("one:1")
    for _ in range(3):
        with pytest.raises(UsageUnavailable):
            store.run(scripts.RESERVE, ("{one:1}",), keys=1)
        assert store.run(scripts.RESERVE, ("{two:2}",), keys=1) == 1
    assert client.asked.count("one:1") == 2
    assert not store.is_up
    with pytest.raises(UsageUnavailable):
        store.probe()
    (record,) = caplog.records
    assert (vars(record)["kind"], vars(record)["host"]) == (TIMEOUT, "one:1")
    assert "planted" not in str(vars(record))
    text = str(metrics.exposition(None)[0])
    assert 'gpt_broker_redis_failures_total{kind="timeout"} 1.0' in text


def test_a_primary_that_left_the_cluster_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """After a fail-over the new primary counts, not the dead one."""
    client = TwoShards()
    store = Store(client, Metrics())
    client.down.add("one:1")
    with pytest.raises(UsageUnavailable):
        store.run(scripts.RESERVE, ("{one:1}",), keys=1)
    client.shards = lambda: {"three:3": "three:3", "two:2": "two:2"}  # type: ignore[method-assign]  # after a fail-over
    assert store.run(scripts.RESERVE, ("{three:3}",), keys=1) == 1
    assert store.is_up
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Redis is unavailable",
        "Redis has recovered",
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ReadOnlyError("x"), failures.REPLICA),
        (exceptions.OutOfMemoryError("x"), failures.FULL),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), failures.FULL),
        (exceptions.BusyLoadingError("x"), failures.LOADING),
        (exceptions.AuthenticationError("x"), failures.ACCOUNT),
        (exceptions.NoPermissionError("x"), failures.ACCOUNT),
        (exceptions.ClusterDownError("x"), failures.CLUSTER),
        (exceptions.TryAgainError("x"), failures.CLUSTER),
        (redis.TimeoutError("x"), TIMEOUT),
        (redis.ConnectionError("Connection closed by server."), CUT),
        (ConnectionRefusedError(111, "Connection refused"), REFUSED),
    ],
)
def test_each_cause_has_its_kind(error: Exception, kind: str) -> None:
    """Each has words for the log."""
    assert describe(error).kind == kind
    assert describe(error).words
    assert kind in failures.KINDS
