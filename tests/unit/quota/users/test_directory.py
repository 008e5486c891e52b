"""Who used what on a day."""

import time
from urllib.parse import quote

import fakeredis
import pytest
from redis.exceptions import ConnectionError as NoConnection

from broker.quota.calls import keys
from broker.quota.users import redis_access
from broker.quota.users.directory import Directory, UserDay
from broker.quota.users.redis_access import RedisAccess, RedisFailed

DAY, BEFORE = keys.day_at(time.time()), keys.day_at(time.time() - 86_400)
ODD = 'a:{b}*?[c] "=1"'


def used(redis: fakeredis.FakeRedis, user: str, calls: int, project: str = "p", day: keys.Day = DAY) -> None:
    names = keys.keys_of(project, user, day)
    for number in range(calls):
        redis.zadd(names[0], {str(number): "+inf"})
    redis.hset(names[2], mapping={"t": calls * 10, "n": calls * 5, "call": "1 2"})


def listed(directory: Directory, day: keys.Day = DAY) -> dict[str, UserDay]:
    return {row.id: row for _, rows in directory.users(day) for row in rows}


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_all_users_of_the_day_and_project_are_found(
    redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Whatever their ids hold; users of another day or project, or without a call, are not among them."""
    monkeypatch.setattr(redis_access, "AT_ONCE", at_once)
    for number in range(5):
        used(redis, f"user{number}", number + 1)
    used(redis, ODD, 7)
    used(redis, "elsewhere", 1, project="q")
    used(redis, "yesterday", 3, day=BEFORE)
    redis.zadd(keys.keys_of("p", "gave-back", DAY)[0], {"a": -(time.time() + 60) * 1000})
    directory = Directory(RedisAccess(redis), "p")
    found = listed(directory)
    assert set(found) == {ODD, *(f"user{number}" for number in range(5))}
    assert (found[ODD].calls, found[ODD].tokens, found[ODD].spend) == (7, 70, 35)
    assert set(listed(directory, BEFORE)) == {"yesterday"}


def test_a_users_day_shows_grants_reservations_and_blocks(redis: fakeredis.FakeRedis) -> None:
    """Calls in flight count; a lapsed one does not."""
    used(redis, "ada", 2)
    calls, places, amounts, blocked = keys.keys_of("p", "ada", DAY)
    now = time.time() * 1000
    redis.zadd(calls, {"flying": now + 60_000, "lapsed": now - 1, "back": "-inf"})
    redis.zadd(places, {"flying": now + 60_000, "lapsed": now - 1})
    redis.hset(amounts, mapping={"rt": 9, "rn": 8, "xc": 1, "xt": 2, "xn": 3, "gt": 4, "gn": 5, "ab": 6})
    redis.set(blocked, 1)
    day = Directory(RedisAccess(redis), "p").user("ada", DAY)
    assert day == UserDay("ada", 3, 1, 1, True, 20, 10, 9, 8, 1, 2, 3, 4, 5, 6)
    assert (day.all_calls, day.all_tokens, day.all_spend) == (4, 24, 15)


def test_the_day_is_redis_s(redis: fakeredis.FakeRedis) -> None:
    assert Directory(RedisAccess(redis), "p").today() == keys.day_at(redis.time()[0])


def test_a_failure_of_redis_names_its_cause(redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has no URL."""

    def fail(*_: object, **__: object) -> None:
        raise NoConnection("redis://:planted@host refused")

    monkeypatch.setattr(redis, "execute_command", fail)
    access = RedisAccess(redis)
    for look in (access.count_keys, lambda: list(access.scan("*")), lambda: Directory(access, "p").today()):
        with pytest.raises(RedisFailed, match="Redis failed") as failed:
            look()
        assert "planted" not in str(failed.value)


def test_a_key_of_somebody_else_s_making_is_no_accident(redis: fakeredis.FakeRedis) -> None:
    """A name that is no UTF-8."""
    redis.zadd(b"gpt-broker:{p:\xff}:calls:" + DAY.name.encode(), {"a": "+inf"})
    assert set(listed(Directory(RedisAccess(redis), "p"))) <= {quote("\ufffd"), "\ufffd"}
