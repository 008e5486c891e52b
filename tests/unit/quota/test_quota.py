"""Calls are reserved, settled and given back."""

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import fakeredis
import gevent
import gevent.event
import pytest
import redis as redis_errors

from broker.active_calls import OpenCalls
from broker.caller import Caller
from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.errors.openai import OpenAITimeout
from broker.quota import scripts
from broker.quota.calls.reservation import NOTHING, Refusal, Reservation
from broker.quota.quota import Quota
from broker.quota.redis_store import MAX_CONCURRENT, Store
from broker.settings.settings import Settings
from broker.telemetry.metrics import Metrics
from tests.apps import REQUIRED

ADA, GRACE = Caller("ada", math.inf), Caller("00000000-0000-4000-8000-00000000000a", math.inf)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = time.time() // 86_400 * 86_400 + 86_395.0  # five seconds before midnight

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the broker and of Redis."""
    made = Clock()
    monkeypatch.setattr("fakeredis.commands_mixins.server_mixin.time", SimpleNamespace(time=made))
    return made


@pytest.fixture
def quota(redis: fakeredis.FakeRedis, clock: Clock) -> Iterator[Quota]:
    settings = Settings.from_environ(
        REQUIRED | {"DAILY_LIMIT": "2", "ID_WHITE_LIST": '["00000000-0000-4000-8000-00000000000a"]'}
    )
    metrics = Metrics()
    made = Quota(settings, Store(redis, metrics), metrics, clock)
    yield made
    made.close()


def reserve(quota: Quota, user: Caller = ADA) -> Reservation:
    outcome = quota.reserve(user)
    assert isinstance(outcome, Reservation)
    return outcome


def counted(redis: fakeredis.FakeRedis) -> int:
    """Ada's calls that stay counted regardless of how their worker ends."""
    (key,) = redis.keys("*ada*:calls:*")
    return int(redis.zcount(key, 1e15, "+inf"))


def test_the_limit_is_the_limit(quota: Quota) -> None:
    """With a limit of two, the third call gets the day's usage."""
    assert [reserve(quota).daily_usage.remaining_calls for _ in range(2)] == [1, 0]
    refused = quota.reserve(ADA)
    assert isinstance(refused, Refusal)
    usage = refused.daily_usage
    assert (refused.limit, usage.remaining_calls, usage.calls.used, usage.exempt) == ("calls", 0, 2, False)


def test_exempt_users_are_counted_and_never_refused(quota: Quota) -> None:
    """Their usage names them exempt."""
    for number in range(1, 6):
        daily_usage = reserve(quota, GRACE).daily_usage
        assert (daily_usage.calls.used, daily_usage.exempt, daily_usage.remaining_calls) == (number, True, 2)


def test_the_day_turns_at_midnight_utc(quota: Quota, clock: Clock) -> None:
    """A user at the limit may call again at midnight, not a second earlier."""
    for _ in range(2):
        reserve(quota)
    clock.now += 4
    assert isinstance(quota.reserve(ADA), Refusal)
    clock.now += 1
    assert reserve(quota).daily_usage.resets_at == clock.now + 86_400


def test_a_call_belongs_to_the_day_in_which_it_began(quota: Quota, clock: Clock) -> None:
    """A call that is given back after midnight is returned to its own day."""
    reservation = reserve(quota)
    clock.now += 10
    reserve(quota)
    reservation.finish(NOTHING)
    assert quota.daily_usage(ADA).calls.used == 1


def test_only_the_first_of_settle_and_give_back_counts(quota: Quota) -> None:
    """A request is settled once or given back once."""
    settled, given_back = reserve(quota), reserve(quota)
    settled.settle()
    settled.finish(NOTHING)
    given_back.finish(NOTHING)
    given_back.settle()
    given_back.finish(NOTHING)
    quota.close()
    assert quota.daily_usage(ADA).calls.used == 1
    assert given_back.daily_usage.remaining_calls == 1


def test_a_settled_call_is_settled_in_redis(quota: Quota, redis: fakeredis.FakeRedis) -> None:
    """A finished call leaves no lease."""
    reserve(quota).settle()
    quota.close()
    assert counted(redis) == 1


class Away:
    """A Redis that fails until a test repairs it."""

    def __init__(self, redis: fakeredis.FakeRedis) -> None:
        self.redis = redis
        self.is_away = True
        self.asked = 0

    def evalsha(self, *arguments: Any) -> Any:
        self.asked += 1
        if self.is_away:
            raise redis_errors.ConnectionError("redis://:planted@host")
        return self.redis.evalsha(*arguments)

    def eval(self, *arguments: Any) -> Any:
        return self.redis.eval(*arguments)


@pytest.fixture
def away(redis: fakeredis.FakeRedis) -> Away:
    return Away(redis)


def test_an_unavailable_redis_is_asked_once_a_second(
    away: Away, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is refused at once. The log has one line for the outage and one for the recovery."""
    now = [100.0]
    monkeypatch.setattr("broker.quota.redis_clients.shards.time.monotonic", lambda: now[0])
    store = Store(away, Metrics())
    caplog.set_level("INFO")
    for _ in range(10):
        with pytest.raises(UsageUnavailable) as raised:
            store.run(scripts.PROBE, ("key",), keys=1)
        assert raised.value.retry_after == 1
    assert away.asked == 1
    now[0] += 1.1
    with pytest.raises(UsageUnavailable):
        store.run(scripts.PROBE, ("key",), keys=1)
    assert away.asked == 2
    away.is_away = False
    now[0] += 1.1
    assert store.run(scripts.PROBE, ("key",), keys=1)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Redis is unavailable",
        "Redis has recovered",
    ]
    assert "planted" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.TimeoutError(),
        redis_errors.ReadOnlyError(),
        redis_errors.ResponseError("OOM command not allowed"),
        redis_errors.BusyLoadingError(),
        redis_errors.AuthenticationError(),
        OSError(),
    ],
)
def test_a_redis_that_cannot_count_is_unavailable(error: Exception) -> None:
    """While Redis is frozen, read-only, full, loading or locked, no call passes uncounted."""

    class Broken:
        def evalsha(self, *_: object) -> None:
            raise error

    with pytest.raises(UsageUnavailable):
        Store(Broken(), Metrics()).run(scripts.PROBE, ("key",), keys=1)


def test_queued_calls_are_refused_when_redis_fails() -> None:
    """Waiting calls end with the first time-out of a running one, so that waits do not add up."""
    asked, time_is_up = [], threading.Event()

    class Frozen:
        def evalsha(self, *_: object) -> None:
            asked.append(1)
            time_is_up.wait(5)
            raise redis_errors.TimeoutError

    def run(_: int) -> type[Exception]:
        with pytest.raises(UsageUnavailable) as raised:
            store.run(scripts.PROBE, ("key",), keys=1)
        return raised.type

    store = Store(Frozen(), Metrics())
    with ThreadPoolExecutor(2 * MAX_CONCURRENT) as pool:
        refusals = [pool.submit(run, number) for number in range(2 * MAX_CONCURRENT)]
        eventually(lambda: len(asked) == MAX_CONCURRENT)
        time_is_up.set()
        kinds = Counter(refusal.result(5) for refusal in refusals)
    assert kinds == {UsageUncertain: MAX_CONCURRENT, UsageUnavailable: MAX_CONCURRENT}
    assert len(asked) == MAX_CONCURRENT


def test_a_call_that_ends_before_its_turn_is_not_asked_for() -> None:
    """It takes no other call's turn."""
    asked, goes_on = [], gevent.event.Event()

    class Slow:
        def evalsha(self, *_: object) -> None:
            asked.append(1)
            goes_on.wait()

    store = Store(Slow(), Metrics())
    others = [gevent.spawn(store.run, scripts.PROBE, ("key",), keys=1) for _ in range(MAX_CONCURRENT)]
    gevent.sleep(0)  # they ask
    with pytest.raises(OpenAITimeout):
        store.run(scripts.PROBE, ("key",), keys=1, waiting=OpenCalls(within=0.05).begin(None))
    assert len(asked) == MAX_CONCURRENT
    goes_on.set()
    gevent.joinall(others, timeout=5, raise_error=True)
    store.run(scripts.PROBE, ("key",), keys=1, waiting=OpenCalls(within=5).begin(None))
    assert len(asked) == MAX_CONCURRENT + 1


class Fickle(Away):
    """A Redis that runs a command and then fails before it replies."""

    def evalsha(self, *arguments: Any) -> Any:
        if self.is_away:
            self.eval(*self._spelled_out(arguments))
            raise redis_errors.TimeoutError
        return self.redis.evalsha(*arguments)

    def _spelled_out(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        scripts = {hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest(): script for script in SCRIPTS}
        return (scripts[arguments[0]], *arguments[1:])


SCRIPTS = (scripts.RESERVE, scripts.FINISH, scripts.SETTLE, scripts.READ)


def quota_of(redis: Any, clock: Callable[[], float], **environ: str) -> tuple[Quota, Metrics]:
    settings = Settings.from_environ(REQUIRED | {"DAILY_LIMIT": "2", "WEB_CONCURRENCY": "1"} | environ)
    metrics = Metrics()
    is_required = settings.usage_without_redis == "refuse"
    return Quota(settings, Store(redis, metrics, is_required=is_required), metrics, clock), metrics


def counters(metrics: Metrics) -> list[float]:
    """The counters of admitted, settled and given back calls, and of calls in flight."""
    text = metrics.exposition(None)[0]
    lines = (text if isinstance(text, str) else text.decode()).splitlines()
    names = ("calls_admitted_total", "calls_settled_total", "calls_given_back_total", "calls_in_flight")
    return [float(line.split()[1]) for name in names for line in lines if line.startswith(f"gpt_broker_{name} ")]


def eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Twice(Fickle):
    """A Redis that gets each command a second time, as after a lost reply on a connection that was long unused."""

    def evalsha(self, *arguments: Any) -> Any:
        self.eval(*self._spelled_out(arguments))
        return self.redis.eval(*self._spelled_out(arguments))


def test_a_repeated_end_has_the_same_result(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """The call counts, for the metrics and the answer's header fields as for Redis."""
    quota, metrics = quota_of(Twice(redis), clock, MAX_CALLS_PER_USER="9", FREE_ABANDONED_CALLS="0")
    answered, abandoned, given_back = reserve(quota), reserve(quota), reserve(quota, GRACE)
    answered.settle(is_last=True)
    answered.finish((3, 4))
    abandoned.finish((1, 1), is_abandoned=True)
    given_back.finish(NOTHING)
    assert [call.is_settled for call in (answered, abandoned, given_back)] == [True, True, False]
    assert counters(metrics) == [3, 2, 1, 0]
    assert quota.daily_usage(ADA).tokens.used == 4


def test_a_call_that_redis_counted_without_a_reply_is_taken_back(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """The call was refused, so it must not count once Redis returns."""
    fickle = Fickle(redis)
    quota, metrics = quota_of(fickle, clock)
    with pytest.raises(UsageUncertain):
        quota.reserve(ADA)
    fickle.is_away = False
    (key,) = redis.keys("*ada*:calls:*")
    eventually(lambda: redis.zcount(key, 0, "+inf") == 0)
    assert counters(metrics) == [0, 0, 0, 0]


def test_the_counters_follow_redis(away: Away, redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """A call is in flight until Redis has stored its end, and nothing is lost during an outage."""
    away.is_away = False
    quota, metrics = quota_of(away, clock)
    settled, given_back = reserve(quota), reserve(quota)
    away.is_away = True
    settled.settle()
    given_back.finish(NOTHING)
    assert counters(metrics) == [2, 0, 0, 2]
    away.is_away = False
    eventually(lambda: counters(metrics) == [2, 1, 1, 0])
    assert counted(redis) == 1


def test_without_redis_calls_may_be_counted_here(away: Away, redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """Local calls are bounded by the limit and are written to Redis when it returns."""
    quota, metrics = quota_of(away, clock, USAGE_WITHOUT_REDIS="allow")
    first, second = reserve(quota), reserve(quota)
    assert [one.daily_usage.remaining_calls for one in (first, second)] == [1, 0]
    refused = quota.reserve(ADA)
    assert isinstance(refused, Refusal)
    assert refused.daily_usage.remaining_calls == 0
    first.finish(NOTHING)
    third = reserve(quota)
    for one in (second, third):
        one.settle()
    away.is_away = False
    eventually(lambda: counters(metrics) == [3, 2, 1, 0])
    assert counted(redis) == 2


def test_a_worker_that_has_spent_its_share_waits_for_redis(away: Away, clock: Clock) -> None:
    """The rest of the limit belongs to the other workers, so the refusal is no 429."""
    quota, _ = quota_of(away, clock, USAGE_WITHOUT_REDIS="allow", WEB_CONCURRENCY="2")
    reserve(quota)
    with pytest.raises(UsageUnavailable):
        quota.reserve(ADA)


def test_anonymous_users_have_their_own_limit(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """Anonymous users usually get a smaller limit."""
    quota, _ = quota_of(redis, clock, ANONYMOUS_DAILY_LIMIT="1")
    stranger = Caller("stranger", math.inf, is_anonymous=True)
    assert reserve(quota, stranger).daily_usage.calls.limit == 1
    assert isinstance(quota.reserve(stranger), Refusal)
    assert quota.daily_usage(stranger).calls.limit == 1
    assert reserve(quota).daily_usage.calls.limit == 2


def test_a_user_may_have_so_many_calls_under_way(redis: fakeredis.FakeRedis, clock: Clock) -> None:
    """A settled call takes a place until its answer ends. Exempt users are never refused."""
    quota, _ = quota_of(
        redis, clock, DAILY_LIMIT="9", MAX_CALLS_PER_USER="1", ID_WHITE_LIST='["00000000-0000-4000-8000-00000000000a"]'
    )
    call = reserve(quota)
    call.settle()
    refused = quota.reserve(ADA)
    assert isinstance(refused, Refusal)
    assert (refused.limit, refused.daily_usage.calls.used) == ("places", 1)
    assert quota.daily_usage(ADA).calls.used == 1
    call.finish((3, 4))
    reserve(quota).finish(NOTHING)
    assert [reserve(quota, GRACE).daily_usage.calls.used for _ in range(3)] == [1, 2, 3]


def test_a_full_redis_is_unavailable_although_deletions_work(
    redis: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Giving back still works, which neither counts as a recovery nor writes a log line."""

    class Full(Away):
        def evalsha(self, digest: str, *arguments: Any) -> Any:
            if digest == hashlib.sha1(scripts.FINISH.encode(), usedforsecurity=False).hexdigest():
                return 0
            raise redis_errors.ResponseError("OOM command not allowed when used memory > 'maxmemory'.")

    store = Store(Full(redis), Metrics())
    for _ in range(2):
        with pytest.raises(UsageUnavailable):
            store.run(scripts.PROBE, ("key",), keys=1)
        store._health("")._paused_until = 0.0
        assert store.run(scripts.FINISH, ("calls", "places", "amounts", "blocked", "id")) == 0
        store._health("")._paused_until = 0.0
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Redis is unavailable"]


def test_a_worker_without_new_calls_detects_the_recovery_of_redis(
    away: Away, redis: fakeredis.FakeRedis, clock: Clock
) -> None:
    """The pending writes, which prove nothing by themselves, reach Redis within 5 s."""
    away.is_away = False
    quota, metrics = quota_of(away, clock, DAILY_LIMIT="50")
    calls = [reserve(quota) for _ in range(30)]
    away.is_away = True
    for call in calls:
        call.finish(NOTHING)
    away.is_away = False
    eventually(lambda: counters(metrics) == [30, 0, 30, 0])
    eventually(lambda: "gpt_broker_redis_up 1.0" in str(metrics.exposition(None)[0]))


@pytest.mark.parametrize("ahead", [-86_400.0, 86_400.0, 7 * 86_400.0])
def test_redis_clock_decides_the_day(redis: fakeredis.FakeRedis, ahead: float) -> None:
    """A broker whose clock is a day off counts like the others, on the same keys."""
    quota, _ = quota_of(redis, lambda: time.time() + ahead)
    right, _ = quota_of(redis, time.time)
    first = reserve(quota)
    reserve(right)
    assert isinstance(quota.reserve(ADA), Refusal)
    assert first.daily_usage.resets_at == right.daily_usage(ADA).resets_at
    assert 0 < quota.seconds_until(first.daily_usage.resets_at) <= 86_400
    assert len(redis.keys("*:calls:*")) == 1
