"""A real Redis under load that is stopped, frozen, slow, restarted, full or read-only."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import ROOT
from tests.integration.conftest import StartBroker, User
from tests.integration.load import Load
from tests.integration.redis_process import RedisProcess
from tests.integration.stack import REDIS_TIMEOUT, Stack
from tests.integration.starvation import Stopwatch
from tests.integration.waiting import within

AWAY = "Redis is unavailable: calls are refused until it recovers"
BACK = "Redis has recovered"
REFUSED = (503, "usage_unavailable")
GOOD = (200, "")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack(through_path=True)
    yield made
    made.stop()


@contextlib.contextmanager
def gone(stack: Stack) -> Iterator[None]:
    stack.redis.stop()
    yield
    stack.redis.start()


@contextlib.contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    stack.redis.freeze()
    yield
    stack.redis.thaw()


@contextlib.contextmanager
def full(stack: Stack) -> Iterator[None]:
    stack.redis.client.config_set("maxmemory", 1)
    yield
    stack.redis.client.config_set("maxmemory", 0)


@contextlib.contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    stack.redis.client.execute_command("REPLICAOF", "127.0.0.1", 1)
    yield
    stack.redis.client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize(
    ("fault", "kind"), [(gone, "cut"), (frozen, "timeout"), (full, "full"), (read_only, "replica")]
)
def test_calls_are_refused_within_the_time_out_while_redis_cannot_count_and_the_ledger_balances_afterwards(
    stack: Stack, fault: Callable[[Stack], contextlib.AbstractContextManager[None]], kind: str
) -> None:
    """503 with `Retry-After`, and one log line per worker for the failure, with its cause, and for the recovery."""
    ada, lines = stack.user(), (stack.log_count(AWAY), stack.log_count(BACK))
    with Load(stack.users(), stack.broker.workers()) as load:
        with fault(stack):
            within(3, lambda: ada.post("/gpt-4o", {"messages": "x"}).status_code == 503)
            for _ in range(10):
                response = ada.post("/gpt-4o", {"messages": "x"})
                assert (response.status_code, response.json()["code"]) == REFUSED
                assert int(response.headers["Retry-After"]) >= 1
            within(2, lambda: stack.metric("redis_up") == 0)
            assert requests.get(stack.broker.url + "/ready", timeout=5).json()["parts"]["redis"] == f"away ({kind})"
            assert stack.metric("redis_failures_total", kind=kind) > 0
            assert requests.get(stack.broker.url + "/health", timeout=5).status_code == 200
        stack.wait_until_serving(ada)
        within(5, lambda: stack.metric("redis_up") == 1)
    assert set(load.tally()) == {GOOD, REFUSED}
    assert load.slowest() < 2 * REDIS_TIMEOUT + 1
    assert 1 <= stack.log_count(AWAY) - lines[0] <= 2
    assert 1 <= stack.log_count(BACK) - lines[1] <= 2
    line = stack.broker.log_lines(AWAY)[-1]
    assert (line["kind"], line["host"]) == (kind, f"127.0.0.1:{stack.redis_path.port}")
    stack.wait_until_balanced()


def test_a_slow_redis_makes_calls_slow_and_loses_none(stack: Stack) -> None:
    """A Redis that is slow but within its time-out serves every call."""
    lines = stack.log_count(AWAY)
    with Load(stack.users(), stack.broker.workers()) as load:
        stack.redis_path.delay = 0.05
        time.sleep(1.0)
        stack.redis_path.delay = 0.0
        time.sleep(0.5)
    assert set(load.tally()) == {GOOD}
    assert stack.log_count(AWAY) == lines
    stack.wait_until_balanced()


def test_a_redis_slower_than_its_time_out_counts_as_unavailable(stack: Stack) -> None:
    """No call waits longer than the time-out, and reservations that Redis made too late are taken back."""
    ada = stack.user()
    with Load(stack.users(), stack.broker.workers()) as load:
        stack.redis_path.delay = REDIS_TIMEOUT * 1.5
        within(3, lambda: ada.post("/gpt-4o", {"messages": "x"}).status_code == 503)
        time.sleep(1.0)
        stack.redis_path.delay = 0.0
        stack.wait_until_serving(ada)
    assert set(load.tally()) <= {GOOD, REFUSED}
    assert load.slowest() < 2 * REDIS_TIMEOUT + 1
    stack.wait_until_balanced()


def test_a_restart_of_redis_loses_no_count(stack: Stack) -> None:
    """Counts are on disk, scripts are loaded again, stale connections are replaced."""
    ada = stack.user()
    assert ada.post("/gpt-4o", {"messages": "x"}).headers["RateLimit"].startswith('"daily";r=99999;')
    with Load(stack.users(), stack.broker.workers()) as load:
        stack.redis.stop()
        stack.redis.start()
        stack.wait_until_serving(ada)
    assert set(load.tally()) <= {GOOD, REFUSED}
    assert ada.post("/gpt-4o", {"messages": "x"}).headers["RateLimit"].startswith('"daily";r=99998;')
    stack.wait_until_balanced()


def test_a_call_that_waits_for_openai_keeps_its_count_through_a_restart(stack: Stack) -> None:
    """A call that is reserved before the restart and settled after it counts once."""
    ada = stack.user()
    stack.openai.next("slow_to_start", delay=0.8)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ada.post, "/gpt-4o", {"messages": "x"})
        within(3, lambda: stack.metric("calls_in_flight") == 1)
        stack.redis.stop()
        stack.redis.start()
        assert answer.result().status_code == 200
    stack.wait_until_balanced()
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=99999;')


def test_a_burst_after_a_nat_forgot_the_connections_is_served_at_once(stack: Stack) -> None:
    """Each call replaces its dead connection within its time-out; none is refused."""
    users = stack.users(16)

    def burst() -> list[int]:
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda user: user.post("/gpt-4o", {"messages": "x"}).status_code, users))

    assert set(burst()) == {200}
    lines = stack.log_count(AWAY)
    time.sleep(1.2)  # the connections no longer count as proven
    stack.redis_path.forget()
    started = time.monotonic()
    assert set(burst()) == {200}
    assert time.monotonic() - started < 3
    assert stack.log_count(AWAY) == lines
    stack.wait_until_balanced()


def test_after_a_fail_over_behind_one_name_the_new_primary_is_used_within_seconds(stack: Stack, tmp_path: Path) -> None:
    """The old primary goes on as a replica: its connections are closed at the first READONLY."""
    ada, new = stack.user(), RedisProcess(tmp_path)
    try:
        assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 200
        new.client.execute_command("REPLICAOF", "127.0.0.1", stack.redis.port)
        within(5, lambda: new.client.info("replication")["master_link_status"] == "up")
        with Load(stack.users(), stack.broker.workers()) as load:
            new.client.execute_command("REPLICAOF", "NO", "ONE")
            stack.redis.client.execute_command("REPLICAOF", "127.0.0.1", new.port)
            stack.redis_path.to_port = new.port
            moved = time.monotonic()
            within(5, lambda: ada.post("/gpt-4o", {"messages": "x"}).status_code == 200)
            time.sleep(1)
        assert set(load.tally()) <= {GOOD, REFUSED}
        assert all(answer.is_good for answer in load.answers if answer.began > moved + 2)
        assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=99998;')
    finally:
        stack.redis_path.to_port = stack.redis.port
        stack.redis.client.execute_command("REPLICAOF", "NO", "ONE")
        new.stop()


def test_a_slow_name_look_up_is_within_the_time_outs(
    start_broker: StartBroker, new_user: Callable[..., User], redis_server: RedisProcess
) -> None:
    """It takes 3 s, and a call that Redis cannot count gets its 503 within both time-outs: 0.75 s."""
    broker = start_broker(
        REDIS_URL=f"redis://localhost:{redis_server.port}", WEB_CONCURRENCY="1",
        PYTHONPATH=str(ROOT / "tests" / "slow_dns"), SLOW_NAMES="localhost", SLOW_DNS="3",
    )  # fmt: skip
    user, watch = new_user(broker), Stopwatch(broker.workers())
    response = user.post("/gpt-4o", {"messages": "x"})
    assert (response.status_code, response.json()["code"]) == REFUSED
    assert watch.seconds() < 0.75 + 0.25
    assert broker.log_lines(AWAY)[-1]["kind"] == "dns"
    within(10, lambda: user.post("/gpt-4o", {"messages": "x"}).status_code == 200)
