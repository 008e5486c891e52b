"""Reserving, settling and giving back, as the broker does it."""

import time
from collections.abc import Iterator
from typing import Any

import fakeredis
import pytest
import redis as redis_errors

from broker.faults import UsageUnavailable
from broker.metrics import Metrics
from broker.settings import Settings
from broker.store import Store
from broker.usage import Reservation, Standing, Usage
from tests.apps import REQUIRED

ADA, GRACE = "ada", "grace"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = time.time() // 86_400 * 86_400 + 86_395.0  # five seconds before midnight

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def usage(redis: fakeredis.FakeRedis, clock: Clock) -> Iterator[Usage]:
    settings = Settings.from_environ(REQUIRED | {"DAILY_LIMIT": "2", "ID_WHITE_LIST": '["grace"]'})
    metrics = Metrics()
    made = Usage(settings, Store(redis, metrics), metrics, clock)
    yield made
    made.close()


def reserve(usage: Usage, user: str = ADA) -> Reservation:
    outcome = usage.reserve(user)
    assert isinstance(outcome, Reservation)
    return outcome


def test_the_limit_is_the_limit(usage: Usage) -> None:
    """The third call of two is told how the user stands."""
    assert [reserve(usage).standing.remaining for _ in range(2)] == [1, 0]
    refused = usage.reserve(ADA)
    assert isinstance(refused, Standing)
    assert (refused.remaining, refused.used, refused.exempt) == (0, 2, False)


def test_exempt_users_are_counted_and_never_refused(usage: Usage) -> None:
    """Their standing says so."""
    for number in range(1, 6):
        standing = reserve(usage, GRACE).standing
        assert (standing.used, standing.exempt, standing.remaining) == (number, True, 2)


def test_the_day_turns_at_midnight_utc(usage: Usage, clock: Clock) -> None:
    """A user at the limit may call again, not a second before."""
    for _ in range(2):
        reserve(usage)
    clock.now += 4
    assert isinstance(usage.reserve(ADA), Standing)
    clock.now += 1
    assert reserve(usage).standing.resets_at == clock.now + 86_400


def test_a_call_belongs_to_the_day_in_which_it_began(usage: Usage, clock: Clock) -> None:
    """Given back after midnight, it is given back to yesterday."""
    reservation = reserve(usage)
    clock.now += 10
    reserve(usage)
    reservation.give_back()
    assert usage.standing(ADA).used == 1


def test_only_the_first_of_settle_and_give_back_counts(usage: Usage) -> None:
    """Whatever the ways in which a request may end, it is settled once or given back once."""
    settled, given_back = reserve(usage), reserve(usage)
    settled.settle()
    settled.give_back()
    given_back.give_back()
    given_back.settle()
    given_back.give_back()
    usage.close()
    assert usage.standing(ADA).used == 1
    assert given_back.standing.remaining == 1


def test_a_settled_call_is_settled_in_redis(usage: Usage, redis: fakeredis.FakeRedis) -> None:
    """With no lease to lapse."""
    reserve(usage).settle()
    usage.close()
    (key,) = redis.keys("*ada*")
    assert redis.zcount(key, "+inf", "+inf") == 1


class Away:
    """A Redis that is not there, until it is."""

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


def test_a_redis_that_is_away_is_asked_once_a_second(
    away: Away, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call is refused at once; the log says so once, and once when it is back."""
    now = [100.0]
    monkeypatch.setattr("broker.store.time.monotonic", lambda: now[0])
    store = Store(away, Metrics())
    caplog.set_level("INFO")
    for _ in range(10):
        with pytest.raises(UsageUnavailable) as raised:
            store.run("return 1", ("key",))
        assert raised.value.retry_after == 1
    assert away.asked == 1
    now[0] += 1.1
    with pytest.raises(UsageUnavailable):
        store.run("return 1", ("key",))
    assert away.asked == 2
    away.is_away = False
    now[0] += 1.1
    assert store.run("return 1", ("key",)) == 1
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Redis is away", "Redis is back"]
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
def test_a_redis_that_cannot_count_is_away(error: Exception) -> None:
    """Frozen, read-only, full, loading, locked: nobody is let through uncounted."""

    class Broken:
        def evalsha(self, *_: object) -> None:
            raise error

    with pytest.raises(UsageUnavailable):
        Store(Broken(), Metrics()).run("return 1", ("key",))
