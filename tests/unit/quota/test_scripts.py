"""The scripts on a user's day: atomic, idempotent, and independent of order."""

import itertools
import time
from typing import Any

import fakeredis
import pytest

from broker.quota import scripts
from broker.quota.calls import keys

DAY = keys.day_at(time.time())
KEYS = keys.keys_of("abc.supabase.co", "ada", DAY)
CALLS, PLACES, AMOUNTS, BLOCKED = KEYS


class User:
    """Runs the scripts on one user's day; `limits` of calls, tokens and nano-dollars."""

    def __init__(self, redis: fakeredis.FakeRedis, *limits: int, places: int = -1) -> None:
        self.redis = redis
        self.limits = (*limits, -1, -1, -1)[:3]
        self.places = places

    def run(self, script: str, call: str, *more: Any, lease: int = 60_000) -> Any:
        return self.redis.eval(script, 4, *KEYS, call, lease, DAY.ends_at + keys.GRACE, self.places, *more)

    def reserve(self, call: str, demand: tuple[int, ...] = (0, 1, 1, 0, 0), watch: int = 0, lease: int = 60_000) -> Any:
        return self.run(scripts.RESERVE, call, DAY.number, *self.limits, *demand, watch, lease=lease)

    def finish(self, call: str, outcome: int = scripts.CHARGE, tokens: int = 0, nano: int = 0, free: int = 10) -> Any:
        return self.run(scripts.FINISH, call, outcome, tokens, nano, free)

    def read(self) -> list[int]:
        return list(self.run(scripts.READ, "", DAY.number))

    def day(self) -> list[int]:
        """Return calls, tokens and nano-dollars charged, and tokens and nano-dollars reserved."""
        return self.read()[1:6]


def answers(results: list[Any]) -> list[list[int]]:
    return [result[:2] for result in results]


def test_it_reserves_up_to_the_limit(redis: fakeredis.FakeRedis) -> None:
    """Each result has the count; the call over the limit leaves no trace."""
    user = User(redis, 2)
    assert answers([user.reserve(call) for call in "abc"]) == [[1, 1], [1, 2], [0, 2]]
    assert user.day() == [2, 0, 0, 2, 0]


def test_the_same_reservation_twice_is_one(redis: fakeredis.FakeRedis) -> None:
    """A retry after a lost reply is not refused at the limit either."""
    user = User(redis, 1)
    assert answers([user.reserve("a") for _ in range(3)]) == [[1, 1]] * 3
    assert user.day() == [1, 0, 0, 1, 0]


def test_no_limit_is_minus_one(redis: fakeredis.FakeRedis) -> None:
    """Exempt users are counted."""
    user = User(redis)
    assert answers([user.reserve(call) for call in "ab"]) == [[1, 1], [1, 2]]
    assert User(redis, 0).reserve("c")[:2] == [0, 2]


def test_a_returned_call_may_be_used_again(redis: fakeredis.FakeRedis) -> None:
    """It counts once, however often it is given back. A late reservation does not bring it back."""
    user = User(redis, 1)
    user.reserve("a")
    assert [user.finish("a", scripts.GIVE_BACK) for _ in range(2)] == [0, 0]
    user.reserve("a")
    assert user.reserve("b")[:2] == [1, 1]


def test_an_unrenewed_lease_lapses(redis: fakeredis.FakeRedis) -> None:
    """A worker's death costs its users no call, token or money for longer than the lease."""
    user = User(redis, 1, 100, 100)
    user.reserve("a", (10, 20, 1, 1, 1), lease=-1)
    assert user.day() == [0, 0, 0, 0, 0]
    assert redis.hmget(AMOUNTS, "lt", "ln") == [b"30", b"30"]
    assert user.reserve("b")[:2] == [1, 1]


def test_a_settled_call_stays(redis: fakeredis.FakeRedis) -> None:
    """It stays after its lease lapsed, and however often it is settled."""
    user = User(redis)
    user.reserve("a", lease=-1)
    assert user.day()[0] == 0
    user.run(scripts.SETTLE, "a")
    user.run(scripts.SETTLE, "a")
    user.run(scripts.RENEW, "a", lease=-1)
    user.reserve("a", lease=-1)
    assert user.day()[0] == 1


def test_a_renewal_keeps_a_waiting_call_and_revives_none(redis: fakeredis.FakeRedis) -> None:
    """Its amounts stay reserved. A call that was given back stays given back."""
    user = User(redis)
    user.reserve("a", (10, 20, 1, 1, 1), lease=20_000)
    user.run(scripts.RENEW, "a")
    for key in (CALLS, PLACES):
        assert redis.zscore(key, "a") > redis.time()[0] * 1000 + 30_000
    user.finish("a", scripts.GIVE_BACK)
    user.run(scripts.RENEW, "a")
    assert user.day() == [0, 0, 0, 0, 0]


def test_a_user_has_so_many_places_at_once(redis: fakeredis.FakeRedis) -> None:
    """A call keeps its place when it is settled, until it is over; one that finds none leaves no trace."""
    user = User(redis, 9, places=2)
    assert answers([user.reserve(call) for call in "aba"]) == [[1, 1], [1, 2], [1, 2]]
    assert user.reserve("c")[:2] == [-1, 2]
    user.run(scripts.SETTLE, "a")
    assert user.reserve("c")[:2] == [-1, 2]
    user.finish("a")
    assert user.reserve("c")[:2] == [1, 3]
    user.limits = (3, -1, -1)
    assert user.reserve("d")[:2] == [0, 3]


def test_a_place_is_a_lease(redis: fakeredis.FakeRedis) -> None:
    """An unrenewed place is free again."""
    user = User(redis, 9, places=1)
    user.reserve("a", lease=-1)
    assert user.reserve("b", lease=20_000)[:2] == [1, 1]
    user.run(scripts.SETTLE, "b")
    user.run(scripts.RENEW, "b")
    assert redis.zscore(PLACES, "b") > redis.time()[0] * 1000 + 30_000
    assert user.day()[0] == 1


def test_the_charge_replaces_the_reservation(redis: fakeredis.FakeRedis) -> None:
    """It does so once, however often it is sent."""
    user = User(redis, 9, 1_000, 10_000)
    assert user.reserve("a", (100, 50, 10, 2, 8))[9] == 50
    assert user.day() == [1, 0, 0, 150, 600]
    for _ in range(2):
        user.finish("a", scripts.CHARGE, 120, 450)
    assert user.day() == [1, 120, 450, 0, 0]


def test_the_output_is_lowered_to_half_of_the_rest(redis: fakeredis.FakeRedis) -> None:
    """Another call finds the other half. Below the minimum the call is refused."""
    user = User(redis, 99, 1_000)
    granted = [user.reserve(call, (100, 800, 100, 0, 0)) for call in "abcd"]
    over = (scripts.OVER_TOKENS, 800)
    assert [(answer[0], answer[9]) for answer in granted] == [(1, 450), (1, 175), over, over]
    assert user.day()[3] == 825
    assert user.reserve("e", (0, 50, 50, 0, 0))[0] == 1


def test_money_is_a_limit_as_tokens_are(redis: fakeredis.FakeRedis) -> None:
    """The tighter limit applies."""
    user = User(redis, 99, 1_000_000, 10_000)
    assert user.reserve("a", (100, 800, 100, 10, 20))[9] == 225
    assert user.reserve("b", (100, 800, 100, 10, 20))[9] == 100
    assert user.reserve("c", (100, 800, 100, 10, 20))[0] == scripts.OVER_SPEND


def test_a_watched_limit_admits_the_call(redis: fakeredis.FakeRedis) -> None:
    """Its output is not lowered. The result names the limits that it exceeds."""
    user = User(redis, 99, 10, 10)
    result = user.reserve("a", (100, 800, 100, 1, 1), watch=1)
    assert (result[0], result[9], result[10]) == (1, 800, 3)


def test_grants_and_blocks_hold_at_once(redis: fakeredis.FakeRedis) -> None:
    """Calls, tokens and money are granted on top of the limits."""
    user = User(redis, 0, 0, 0)
    assert user.reserve("a")[0] == scripts.OVER_CALLS
    redis.hincrby(AMOUNTS, "xc", 1)
    assert user.reserve("a")[0] == scripts.OVER_TOKENS
    redis.hincrby(AMOUNTS, "xt", 1)
    assert user.reserve("a", (0, 1, 1, 0, 5))[0] == scripts.OVER_SPEND
    redis.hincrby(AMOUNTS, "xn", 5)
    assert user.reserve("a", (0, 1, 1, 0, 5))[0] == 1
    assert user.read()[6:9] == [1, 1, 5]
    redis.set(BLOCKED, 1)
    assert user.reserve("b")[0] == user.read()[0] == scripts.BLOCKED


def test_a_few_abandoned_calls_are_free(redis: fakeredis.FakeRedis) -> None:
    """Further ones count, with their charge. A repeated end counts once, and has the same result."""
    user = User(redis, 99)
    for call in "abc":
        user.reserve(call)
    results = [user.finish(call, scripts.ABANDON, 7, 70, free=2) for call in "aabbcc"]
    assert results == [0, 0, 0, 0, 1, 1]
    assert user.day() == [1, 7, 70, 0, 0]


def test_no_call_of_another_day_is_counted(redis: fakeredis.FakeRedis) -> None:
    """Redis' clock decides."""
    result = redis.eval(scripts.RESERVE, 4, *KEYS, "a", 60_000, 4_000_000_000, -1, DAY.number - 1, *(1,) * 9)
    assert result[0] == scripts.WRONG_DAY
    assert abs(result[1] - time.time()) < 5
    assert redis.keys() == []


@pytest.mark.parametrize("end", [(scripts.CHARGE, 120, 450), (scripts.GIVE_BACK, 0, 0)])
def test_the_scripts_of_a_call_give_the_same_end_in_any_order(
    redis: fakeredis.FakeRedis, end: tuple[int, int, int]
) -> None:
    """Each runs twice: a late reservation neither revives a call nor lowers a settled one."""
    user, ends = User(redis, 9, 1_000, 10_000), set()
    for order in set(itertools.permutations(["reserve", "finish", "renew", "reserve", "finish"])):
        redis.flushall()
        for script in order:
            if script == "reserve":
                user.reserve("a", (100, 50, 10, 2, 8))
            elif script == "renew":
                user.run(scripts.RENEW, "a")
            else:
                user.finish("a", *end)
        ends.add(tuple(user.day()))
    counts = int(end[0] == scripts.CHARGE)
    assert ends == {(counts, end[1], end[2], 0, 0)}


@pytest.mark.parametrize("key", [CALLS, PLACES, AMOUNTS])
def test_keys_expire_by_themselves(redis: fakeredis.FakeRedis, key: str) -> None:
    """They expire an hour after their day."""
    user = User(redis)
    user.reserve("a")
    assert redis.expiretime(key) == DAY.ends_at + 3600
    user.reserve("b")
    user.finish("a", scripts.CHARGE, 1, 1)
    assert redis.expiretime(key) == DAY.ends_at + 3600


@pytest.mark.parametrize("outcome", [scripts.GIVE_BACK, scripts.ABANDON, scripts.CHARGE])
def test_a_late_end_leaves_no_key_for_ever(redis: fakeredis.FakeRedis, outcome: int) -> None:
    """The end of a call whose lease has lapsed may create the day's key anew."""
    user = User(redis)
    user.reserve("a", lease=1)
    time.sleep(0.01)
    user.finish("a", outcome, 1, 1)
    names = redis.keys()
    assert [redis.expiretime(name) for name in names] == [DAY.ends_at + 3600] * len(names)
