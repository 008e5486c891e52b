"""A worker ends the open calls of users who were blocked lately."""

import time
from collections.abc import Callable, Iterator

import fakeredis
import gevent
import pytest

from broker.active_calls import OpenCall, OpenCalls
from broker.errors.limits import CallerBlocked
from broker.quota.calls.keys import project_key
from broker.quota.redis_store import Store
from broker.quota.users import block_watch
from broker.quota.users.block_watch import BlockWatch
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics
from tests.apps import REQUIRED

RECENT = project_key("supabase.invalid", "blocks", "recent")


@pytest.fixture
def calls() -> OpenCalls:
    return OpenCalls(within=30)


@pytest.fixture
def watch(redis: fakeredis.FakeRedis, calls: OpenCalls) -> BlockWatch:
    return BlockWatch(Settings.from_environ(REQUIRED), Store(redis, Metrics()), calls, Background())


@pytest.fixture
def begin(calls: OpenCalls) -> Iterator[Callable[[str], OpenCall]]:
    """Begins a call of a user."""
    begun: list[OpenCall] = []

    def make(user: str) -> OpenCall:
        call = calls.begin(None)
        call.user = user
        begun.append(call)
        return call

    yield make
    for call in begun:
        call.close()


def is_ended(call: OpenCall) -> bool:
    gevent.sleep(0.01)
    try:
        with call:
            return False
    except CallerBlocked:
        return True


def test_only_the_calls_of_blocked_users_end(
    redis: fakeredis.FakeRedis, watch: BlockWatch, begin: Callable[[str], OpenCall]
) -> None:
    """All of their calls end, and no others."""
    ada, grace, other = begin("ada"), begin("ada"), begin("grace")
    watch.look()
    redis.zadd(RECENT, {"ada": 1, "somebody": 2})
    assert not is_ended(ada)
    watch.look()
    assert [is_ended(call) for call in (ada, grace, other)] == [True, True, False]


def test_a_worker_without_calls_of_users_sends_nothing(
    redis: fakeredis.FakeRedis, watch: BlockWatch, begin: Callable[[str], OpenCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is not asked at all, whatever tokens strangers send."""
    begin("")
    monkeypatch.setattr(redis, "execute_command", lambda *_, **__: pytest.fail("Redis was asked"))
    watch.look()


def test_while_redis_does_not_answer_calls_go_on(
    watch: BlockWatch, begin: Callable[[str], OpenCall], redis: fakeredis.FakeRedis
) -> None:
    """The block is found once Redis answers."""
    call = begin("ada")
    redis.zadd(RECENT, {"ada": 1})
    redis.connection_pool.connection_kwargs["server"].connected = False
    watch.look()
    assert not is_ended(call)
    redis.connection_pool.connection_kwargs["server"].connected = True
    time.sleep(1.1)  # the pause after a failure
    watch.look()
    assert is_ended(call)


def test_it_looks_again_and_again(
    redis: fakeredis.FakeRedis, watch: BlockWatch, begin: Callable[[str], OpenCall], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later block is found as well."""
    monkeypatch.setattr(block_watch, "INTERVAL", 0.01)
    monkeypatch.setattr("broker.quota.users.block_watch.time.sleep", gevent.sleep)
    looking = gevent.spawn(watch._keep_looking)
    for user in ("ada", "grace"):
        call = begin(user)
        gevent.sleep(0.05)
        redis.zadd(RECENT, {user: 1})
        gevent.sleep(0.05)
        assert is_ended(call)
    looking.kill()
