"""What an operator changes: in force for the scripts of a call, exact, idempotent, and logged."""

import time
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest

from broker.quota import scripts
from broker.quota.calls import keys
from broker.quota.users import user_scripts
from broker.quota.users.audit_log import AuditLog
from broker.quota.users.changes import Amounts, Changes
from broker.quota.users.directory import Directory, UserDay
from broker.quota.users.redis_access import RedisAccess, RedisFailed
from tests.unit.quota.test_scripts import User

PROJECT, ADA = "abc.supabase.co", "ada"
DAY = keys.day_at(time.time())


@pytest.fixture
def access(redis: fakeredis.FakeRedis) -> RedisAccess:
    return RedisAccess(redis)


@pytest.fixture
def changes(access: RedisAccess) -> Changes:
    return Changes(access, PROJECT, "grace@office", lambda day: day.ends_at)


@pytest.fixture
def seen(access: RedisAccess) -> Callable[[], UserDay]:
    """Ada's day, as the operator sees it."""
    return lambda: Directory(access, PROJECT).user(ADA, DAY)


def spent(user: User, *calls: str) -> None:
    """Finished calls of 10 tokens and 5 nano-dollars."""
    for call in calls:
        user.reserve(call, (5, 5, 5, 1, 1))
        user.run(scripts.SETTLE, call)
        user.finish(call, tokens=10, nano=5)


def test_a_blocked_user_gets_no_reservation_until_unblocked(redis: fakeredis.FakeRedis, changes: Changes) -> None:
    """Both say whether they changed anything; workers find the block while it lasts."""
    user, recent = User(redis, 9), keys.project_key(PROJECT, "blocks", "recent")
    assert [changes.block(ADA, DAY), changes.block(ADA, DAY)] == [True, False]
    assert user.reserve("a")[0] == user.read()[0] == scripts.BLOCKED
    assert redis.zrange(recent, 0, -1) == [b"ada"]
    assert [changes.unblock(ADA, DAY), changes.unblock(ADA, DAY)] == [True, False]
    assert user.reserve("a")[0] == scripts.ADMITTED
    assert redis.zrange(recent, 0, -1) == []


def test_the_recent_blocks_are_bounded_in_time_and_number(redis: fakeredis.FakeRedis) -> None:
    """The oldest goes first."""
    for number in range(5):
        redis.eval(user_scripts.ANNOUNCE, 1, "recent", f"user{number}", 60_000, 3)
        time.sleep(0.002)
    assert redis.zrange("recent", 0, -1) == [b"user2", b"user3", b"user4"]
    assert 59_000 < redis.pttl("recent") <= 60_000
    redis.zadd("recent", {"user2": 1})
    redis.eval(user_scripts.ANNOUNCE, 1, "recent", "user5", 60_000, 9)
    assert b"user2" not in redis.zrange("recent", 0, -1)


def test_a_grant_raises_each_limit(redis: fakeredis.FakeRedis, changes: Changes) -> None:
    """Grants add up, and expire with the day."""
    user = User(redis, 1, 20, 10)
    spent(user, "a")
    assert user.reserve("b", (5, 5, 5, 1, 1))[0] == scripts.OVER_CALLS
    assert changes.grant(ADA, DAY, Amounts(1, 5, 3)) == Amounts(1, 5, 3)
    assert changes.grant(ADA, DAY, Amounts(0, 10, 2)) == Amounts(1, 15, 5)
    assert user.reserve("b", (5, 5, 5, 1, 1))[0] == scripts.ADMITTED
    assert user.read()[6:9] == [1, 15, 5]
    assert redis.expiretime(keys.keys_of(PROJECT, ADA, DAY)[2]) >= DAY.ends_at


def test_a_grant_that_reaches_redis_twice_is_one(redis: fakeredis.FakeRedis) -> None:
    """The client repeats a command on a fresh connection."""
    names = keys.keys_of(PROJECT, ADA, DAY)
    for _ in range(2):
        assert redis.eval(user_scripts.GRANT, 4, *names, "operation", DAY.ends_at, 1, 2, 3) == [1, 2, 3]


def test_a_reset_gives_back_finished_calls(
    redis: fakeredis.FakeRedis, changes: Changes, seen: Callable[[], UserDay]
) -> None:
    """Calls, tokens, money and free abandoned calls; a call in flight stays reserved. Grants stay."""
    user = User(redis, 3, 100, 100)
    spent(user, "a", "b")
    user.reserve("c", (5, 5, 5, 1, 1))
    user.run(scripts.SETTLE, "c")
    user.reserve("d")
    user.finish("d", scripts.GIVE_BACK)
    changes.grant(ADA, DAY, Amounts(calls=1))
    assert changes.reset(ADA, DAY) == Amounts(2, 20, 10)
    assert user.day() == [1, 0, 0, 10, 10]
    assert changes.reset(ADA, DAY) == Amounts()
    user.finish("c", tokens=7, nano=4)
    assert user.day() == [1, 7, 4, 0, 0]
    day = seen()
    assert (day.all_calls, day.all_tokens, day.all_spend, day.granted_calls) == (3, 27, 14, 1)


@pytest.mark.parametrize(
    ("script", "more"),
    [
        (scripts.FINISH, (scripts.CHARGE, 10, 5, 10)),
        (scripts.FINISH, (scripts.GIVE_BACK, 0, 0, 10)),
        (scripts.FINISH, (scripts.ABANDON, 10, 5, 10)),
        (scripts.SETTLE, ()),
        (scripts.RENEW, ()),
    ],
)
def test_a_late_write_of_a_call_that_was_given_back_changes_nothing(
    redis: fakeredis.FakeRedis, changes: Changes, script: str, more: tuple[Any, ...]
) -> None:
    """A write without a reply is repeated later, even if Redis ran it."""
    user = User(redis, 1)
    spent(user, "a")
    changes.reset(ADA, DAY)
    user.run(script, "a", *more)
    assert user.day() == [0, 0, 0, 0, 0]
    assert user.reserve("b")[0] == scripts.ADMITTED


def test_a_reset_of_many_calls_delays_no_other_command(
    redis: fakeredis.FakeRedis, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs in pieces, and gives all of it back."""
    monkeypatch.setattr(user_scripts, "RESET_AT_ONCE", 2)
    user = User(redis)
    spent(user, *"abcde")
    assert changes.reset(ADA, DAY) == Amounts(5, 50, 25)
    assert user.day() == [0, 0, 0, 0, 0]


def test_every_change_is_logged_before_it_is_made(
    redis: fakeredis.FakeRedis, access: RedisAccess, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that Redis refuses has a second line, and is raised."""
    changes.block(ADA, DAY)
    run = access.run

    def fail(script: str, names: tuple[str, ...], *arguments: object) -> Any:
        if script == user_scripts.RESET:
            raise RedisFailed("full")
        return run(script, names, *arguments)

    monkeypatch.setattr(access, "run", fail)
    with pytest.raises(RedisFailed):
        changes.reset(ADA, DAY)
    lines = AuditLog(access, PROJECT).lines(10)
    assert [(line.by, line.action, line.user) for line in lines] == [
        ("grace@office", action, ADA) for action in ("block", "reset", "reset")
    ]
    assert lines[1].details == f"the finished calls of {DAY.name}"
    assert lines[2].details == "failed: full"
