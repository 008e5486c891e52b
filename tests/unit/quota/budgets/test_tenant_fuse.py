"""The tenant's fuse: workers share slices of a budget."""

import time
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis as redis_errors
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from broker.errors.base import UsageUnavailable
from broker.errors.limits import TenantBudgetExhausted
from broker.quota.budgets import tenant_fuse
from broker.quota.budgets.tenant_fuse import TenantFuse
from broker.quota.calls.keys import day_at
from broker.quota.redis_store import Store
from broker.settings.settings import Settings
from broker.telemetry.metrics import Metrics
from tests.apps import REQUIRED

DOLLAR, SLICE = 10**9, 10**8


class Clock:
    """The clock of Redis and the broker."""

    def __init__(self) -> None:
        self.now = time.time() // 86_400 * 86_400 + 3600.0  # in today's first hours, whenever the test runs

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", SimpleNamespace(time=made))
    return made


def worker(redis: Any, clock: Clock, **environ: str) -> TenantFuse:
    """Return one worker's fuse of a dollar, in slices of ten cents."""
    chosen = {"TENANT_DAILY_SPEND": "1", "TENANT_SPEND_SLICE": "0.1", "WEB_CONCURRENCY": "4"} | environ
    metrics = Metrics()
    return TenantFuse(
        Settings.from_environ(REQUIRED | chosen), Store(redis, metrics), metrics, lambda: day_at(clock.now)
    )


def spent(redis: fakeredis.FakeRedis) -> int:
    (key,) = redis.keys("*:tenant}:spend:*")
    return int(redis.hget(key, "spent") or 0)


def spend(fuse: TenantFuse, reserved: int, charged: int) -> None:
    fuse.take(reserved)
    fuse.settle(reserved, charged)


def test_without_a_limit_nothing_is_asked(clock: Clock) -> None:
    """Redis gets no command."""
    fuse = worker(None, clock, TENANT_DAILY_SPEND="")
    spend(fuse, DOLLAR, DOLLAR)
    fuse.report()
    assert not fuse.is_burnt


def test_all_workers_together_spend_the_budget_and_no_more(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """They spend the last slice; then each refuses."""
    workers = [worker(redis, clock) for _ in range(4)]
    taken = 0
    for fuse in workers * 20:
        try:
            spend(fuse, SLICE // 2, SLICE // 2)
            taken += SLICE // 2
        except TenantBudgetExhausted:
            fuse.settle(SLICE // 2, 0)
    assert DOLLAR - 4 * SLICE <= taken <= DOLLAR
    assert all(fuse.is_burnt for fuse in workers)
    for fuse in workers:
        fuse.report(is_last=True)
    assert spent(redis) == taken


def test_a_spent_budget_sends_no_message_for_each_call(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """For a second after a denial, only a call that needs less asks again."""
    fuse, other = worker(redis, clock), worker(redis, clock)
    other.take(DOLLAR - SLICE // 2)
    for _ in range(50):
        with pytest.raises(TenantBudgetExhausted):
            fuse.take(SLICE)
        fuse.settle(SLICE, 0)
    assert fuse._number <= 2
    assert not fuse.take(SLICE // 2)


def test_one_call_may_need_more_than_a_slice(
    redis: fakeredis.FakeRedis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unused part serves other workers."""
    monkeypatch.setattr(tenant_fuse, "DENIAL", 0.0)
    first, second = worker(redis, clock), worker(redis, clock)
    first.take(9 * SLICE)
    with pytest.raises(TenantBudgetExhausted):
        second.take(2 * SLICE)
    second.settle(2 * SLICE, 0)
    first.settle(9 * SLICE, SLICE)
    first.report()
    second.take(2 * SLICE)
    assert not second.is_burnt


def test_the_slice_of_a_dead_worker_is_released_after_a_minute(
    redis: fakeredis.FakeRedis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its unreported spend is the overspend: at most its slice."""
    monkeypatch.setattr(tenant_fuse, "DENIAL", 0.0)
    dead, other = worker(redis, clock), worker(redis, clock)
    spend(dead, SLICE - 1, SLICE - 1)
    with pytest.raises(TenantBudgetExhausted):
        other.take(DOLLAR)
    other.settle(DOLLAR, 0)
    clock.now += 61
    spend(other, DOLLAR, DOLLAR)
    assert other.worst_overspend == 4 * SLICE


def test_a_spent_slice_is_reported_at_once(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """At most one slice is unreported, and lost if the worker dies, however much it had reserved."""
    fuse = worker(redis, clock)
    for _ in range(8):
        fuse.take(SLICE)
    for number in range(8):
        fuse.settle(SLICE, SLICE // 2)
        assert spent(redis) >= number // 2 * SLICE


def test_the_budget_is_a_day_s(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """A new day has a new budget."""
    fuse = worker(redis, clock)
    spend(fuse, DOLLAR, DOLLAR)
    with pytest.raises(TenantBudgetExhausted):
        fuse.take(1)
    fuse.settle(1, 0)
    clock.now += 86_400
    fuse.take(1)
    assert not fuse.is_burnt


def test_a_call_over_midnight_releases_no_other_reservation(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """Its cost is the new day's, so its reservation is, too, until it is over."""
    fuse = worker(redis, clock)
    fuse.take(4 * SLICE)
    clock.now += 86_400
    fuse.take(6 * SLICE)
    fuse.settle(4 * SLICE, 4 * SLICE)
    with pytest.raises(TenantBudgetExhausted):
        fuse.take(SLICE)
    fuse.settle(SLICE, 0)
    fuse.settle(6 * SLICE, 6 * SLICE)
    fuse.report(is_last=True)
    assert [int(redis.hget(key, "spent") or 0) for key in sorted(redis.keys("*:spend:*"))] == [0, DOLLAR]


def test_a_watched_budget_refuses_no_call(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """The spend is still reported."""
    fuse = worker(redis, clock, BUDGETS="watch")
    assert not fuse.take(SLICE)
    fuse.settle(SLICE, 0)
    assert fuse.take(2 * DOLLAR)
    fuse.settle(2 * DOLLAR, 2 * DOLLAR)
    fuse.report()
    assert spent(redis) == 2 * DOLLAR
    assert fuse.is_burnt


class Flaky:
    """A Redis that may or may not run a command, and then fails."""

    def __init__(self, redis: fakeredis.FakeRedis) -> None:
        self.redis = redis
        self.failing = ""

    def evalsha(self, *arguments: Any) -> Any:
        if self.failing == "before":
            raise redis_errors.ConnectionError
        answer = self.redis.evalsha(*arguments)
        if self.failing == "after":
            raise redis_errors.TimeoutError
        return answer

    def eval(self, *arguments: Any) -> Any:
        return self.redis.eval(*arguments)


def test_without_redis_a_worker_spends_its_slice_and_then_refuses(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """Its spend is neither lost nor reported twice."""
    flaky = Flaky(redis)
    fuse = worker(flaky, clock)
    spend(fuse, SLICE // 4, SLICE // 4)
    flaky.failing = "after"
    fuse.report()
    spend(fuse, SLICE // 4, SLICE // 4)
    with pytest.raises(UsageUnavailable):
        fuse.take(SLICE)
    fuse.settle(SLICE, 0)
    flaky.failing = ""
    fuse._store._health("")._paused_until = 0.0
    fuse.report()
    assert spent(redis) == SLICE // 2


def test_a_watched_budget_refuses_no_call_without_redis(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """A call that needs a slice is let through, and what it spends is reported once Redis answers."""
    flaky = Flaky(redis)
    fuse = worker(flaky, clock, BUDGETS="watch")
    flaky.failing = "before"
    assert fuse.take(SLICE)
    fuse.settle(SLICE, SLICE)
    flaky.failing = ""
    fuse._store._health("")._paused_until = 0.0
    fuse.report()
    assert spent(redis) == SLICE


# a worker, what its call costs, and whether Redis answers
CALL = st.tuples(st.integers(0, 2), st.integers(1, 3 * SLICE), st.sampled_from(["", "before", "after"]))


@hypothesis_settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 3 * SLICE), st.sampled_from(["", "before", "after"])), max_size=25
    )
)
def test_the_budget_of_the_fuse_balances(calls: list[tuple[int, int, str]]) -> None:
    """The spend equals the charges with any lost messages, and no more than the budget is taken."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch, fakeredis.FakeRedis(server=fakeredis.FakeServer()) as redis:
        patch.setattr("fakeredis.commands_mixins.server_mixin.time", SimpleNamespace(time=clock))
        clients = [Flaky(redis) for _ in range(3)]
        workers, taken = [worker(client, clock) for client in clients], 0
        for number, amount, failing in calls:
            clients[number].failing = failing
            workers[number]._store._health("")._paused_until = 0.0
            try:
                workers[number].take(amount)
                taken += amount
                workers[number].settle(amount, amount)
            except (TenantBudgetExhausted, UsageUnavailable):
                workers[number].settle(amount, 0)
        for client, fuse in zip(clients, workers, strict=True):
            client.failing = ""
            fuse._store._health("")._paused_until = 0.0
            fuse.report(is_last=True)
        assert taken <= DOLLAR
        assert not taken or spent(redis) == taken
