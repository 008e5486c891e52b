"""The scripts on a user's day: atomic, and the same when they are sent twice."""

from typing import Any

import fakeredis
import pytest

from broker.quota import scripts

DAY = scripts.Day("2026-11-24", 4_000_000_000)
KEY, PLACES = scripts.keys_of("abc.supabase.co", "ada", DAY)


def run(
    redis: fakeredis.FakeRedis, script: str, call: str, limit: int = 2, lease: int = 60_000, places: int = -1
) -> Any:
    return redis.eval(script, 2, KEY, PLACES, limit, lease, call, DAY.ends_at + scripts.GRACE, places)


def count(redis: fakeredis.FakeRedis) -> Any:
    return redis.eval(scripts.COUNT, 1, KEY)


def test_it_reserves_up_to_the_limit(redis: fakeredis.FakeRedis) -> None:
    """Each answer tells the count; the call over the limit leaves no trace."""
    assert [run(redis, scripts.RESERVE, call) for call in "abc"] == [[1, 1], [1, 2], [0, 2]]
    assert count(redis) == 2


def test_the_same_reservation_twice_is_one(redis: fakeredis.FakeRedis) -> None:
    """Also at the limit: a retry after a lost answer must not refuse the call that it was for."""
    assert [run(redis, scripts.RESERVE, "a", limit=1) for _ in range(3)] == [[1, 1]] * 3


def test_no_limit_is_minus_one(redis: fakeredis.FakeRedis) -> None:
    """Exempt users are counted all the same."""
    assert run(redis, scripts.RESERVE, "a", limit=-1) == [1, 1]
    assert run(redis, scripts.RESERVE, "b", limit=-1) == [1, 2]
    assert run(redis, scripts.RESERVE, "c", limit=0) == [0, 2]


def test_what_is_given_back_may_be_used_again(redis: fakeredis.FakeRedis) -> None:
    """Once, however often it is given back."""
    run(redis, scripts.RESERVE, "a", limit=1)
    assert [run(redis, scripts.GIVE_BACK, "a") for _ in range(2)] == [1, 0]
    assert run(redis, scripts.RESERVE, "b", limit=1) == [1, 1]


def test_a_lease_that_nobody_renews_lapses(redis: fakeredis.FakeRedis) -> None:
    """A worker's death costs its users no call for longer than the lease."""
    run(redis, scripts.RESERVE, "a", limit=1, lease=-1)
    assert count(redis) == 0
    assert run(redis, scripts.RESERVE, "b", limit=1) == [1, 1]


def test_a_settled_call_stays(redis: fakeredis.FakeRedis) -> None:
    """Even if its lease had lapsed before the news came, and however often it comes."""
    run(redis, scripts.RESERVE, "a", lease=-1)
    assert count(redis) == 0
    run(redis, scripts.SETTLE, "a")
    run(redis, scripts.SETTLE, "a")
    run(redis, scripts.RENEW, "a", lease=-1)
    assert count(redis) == 1


def test_a_renewal_keeps_a_waiting_call_and_revives_none(redis: fakeredis.FakeRedis) -> None:
    """What was given back stays given back."""
    run(redis, scripts.RESERVE, "a", lease=20_000)
    run(redis, scripts.RENEW, "a", lease=60_000)
    assert redis.zscore(KEY, "a") > redis.time()[0] * 1000 + 30_000
    run(redis, scripts.GIVE_BACK, "a")
    run(redis, scripts.RENEW, "a")
    assert count(redis) == 0


def test_a_user_has_so_many_places_at_once(redis: fakeredis.FakeRedis) -> None:
    """A call keeps its place when it is settled, until it is over; one that finds none leaves no trace."""
    assert [run(redis, scripts.RESERVE, call, limit=9, places=2) for call in "aba"] == [[1, 1], [1, 2], [1, 2]]
    assert run(redis, scripts.RESERVE, "c", limit=9, places=2) == [-1, 2]
    run(redis, scripts.SETTLE, "a", places=2)
    assert run(redis, scripts.RESERVE, "c", limit=9, places=2) == [-1, 2]
    assert [run(redis, scripts.LEAVE, "a", places=2) for _ in range(2)] == [1, 0]
    assert run(redis, scripts.RESERVE, "c", limit=9, places=2) == [1, 3]
    assert run(redis, scripts.RESERVE, "d", limit=3, places=2) == [0, 3]


def test_a_place_is_a_lease(redis: fakeredis.FakeRedis) -> None:
    """What nobody renews is free again; what is renewed stays; and the key goes with the last."""
    run(redis, scripts.RESERVE, "a", limit=9, lease=-1, places=1)
    assert run(redis, scripts.RESERVE, "b", limit=9, lease=20_000, places=1) == [1, 1]
    run(redis, scripts.SETTLE, "b", places=1)
    run(redis, scripts.RENEW, "b", places=1)
    assert redis.zscore(PLACES, "b") > redis.time()[0] * 1000 + 30_000
    assert 30_000 < redis.pttl(PLACES) <= 60_000
    assert redis.zscore(KEY, "b") == float("inf")


def test_without_a_cap_no_place_is_kept(redis: fakeredis.FakeRedis) -> None:
    """It would cost a command a call."""
    run(redis, scripts.RESERVE, "a")
    run(redis, scripts.RENEW, "a")
    assert redis.keys() == [KEY.encode()]


@pytest.mark.parametrize("script", [scripts.RESERVE, scripts.SETTLE])
def test_keys_expire_by_themselves(redis: fakeredis.FakeRedis, script: str) -> None:
    """An hour after their day."""
    run(redis, script, "a")
    assert redis.expiretime(KEY) == DAY.ends_at + 3600


@pytest.mark.parametrize(
    ("now", "name"),
    [(0, "1970-01-01"), (86_399.999, "1970-01-01"), (86_400, "1970-01-02"), (1_795_521_600, "2026-11-24")],
)
def test_a_day_is_a_utc_day(now: float, name: str) -> None:
    """From 00:00 to 00:00."""
    day = scripts.day_at(now)
    assert day.name == name
    assert day.ends_at - 86_400 <= now < day.ends_at


def test_keys_of_a_user_share_a_slot_and_nobody_else_s_do() -> None:
    """The braces are the cluster's hash tag; what a user is called cannot break out of them."""
    assert KEY == "gpt-broker:{abc.supabase.co:ada}:calls:2026-11-24"
    assert PLACES.partition(":calls")[0] == "gpt-broker:{abc.supabase.co:ada}:places"
    tricky = scripts.keys_of("abc:1", "}{a:b", DAY)[0]
    assert tricky.count("{") == tricky.count("}") == 1
    assert scripts.keys_of("a", "b:c", DAY) != scripts.keys_of("a:b", "c", DAY)
