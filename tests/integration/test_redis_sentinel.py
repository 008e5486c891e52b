"""Sentinel with two replicas, under load: the master is killed and frozen, and calls are served by the new one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import fail_over
from tests.integration.conftest import StartBroker, User
from tests.integration.redis_drills import SentinelService, wait_for_new
from tests.integration.redis_flavours import PLAIN, SECURED, VALKEY, Flavour
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

DRILLS = [(SECURED, RedisProcess.stop), (PLAIN, RedisProcess.freeze), (VALKEY, RedisProcess.stop)]


@pytest.fixture
def service(tmp_path: Path, flavour: Flavour) -> Iterator[SentinelService]:
    made = SentinelService(tmp_path, flavour)
    yield made
    made.stop()


@pytest.mark.parametrize(("flavour", "fault"), DRILLS, ids=lambda part: getattr(part, "name", ""))
def test_a_fail_over_under_load_loses_no_call_for_long(
    service: SentinelService,
    start_broker: StartBroker,
    new_user: Callable[..., User],
    fault: Callable[[RedisProcess], None],
) -> None:
    """The master is killed, or answers nothing any more; secured: TLS, accounts and passwords with every character.

    No call is counted twice. Calls that were settled in the second before the fault may be lost with it, as replication
    is asynchronous.
    """
    broker = start_broker("/ready", REDIS_URL=service.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    old = service.master

    outcome = fail_over.drill(
        broker,
        [new_user(broker) for _ in range(4)],
        lambda: fault(old),
        lambda: wait_for_new(service, old),
        lambda: [service.master_now().client],
    )

    print(f"Sentinel, {service.flavour.name}, {fault.__name__}: {outcome}")
    assert outcome.codes <= {"", "usage_unavailable"}
    assert outcome.refused_after < fail_over.SOON
    assert outcome.lost <= outcome.at_risk
    assert outcome.is_balanced, outcome.counters


def test_a_primary_without_replicas_counts_nothing_under_min_replicas_to_write(
    own_redis: RedisProcess, start_broker: StartBroker, new_user: Callable[..., User]
) -> None:
    """With `min-replicas-to-write`: 503, and no call is counted that a fail-over would forget; then as before."""
    broker = start_broker("/ready", REDIS_URL=own_redis.url, WEB_CONCURRENCY="1")
    user = new_user(broker)
    own_redis.client.config_set("min-replicas-to-write", 1)
    refused = user.post("/gpt-4o", {"messages": "x"})
    assert (refused.status_code, refused.json()["code"]) == (503, "usage_unavailable")
    assert refused.headers["Retry-After"]
    own_redis.client.config_set("min-replicas-to-write", 0)
    within(fail_over.SOON, lambda: user.post("/gpt-4o", {"messages": "x"}).status_code == 200)
    assert user.get("/v1/usage").json()["used"] == 1
