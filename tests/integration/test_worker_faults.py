"""A killed worker, a stopped master with 200 open streams, a worker above its memory limit."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from tests.integration.load import Load
from tests.integration.stack import Stack
from tests.integration.waiting import within

GOOD = (200, "")
BROKEN = b'{"error": "Error while streaming"}\n'
STREAMS = 200
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.stop()


def broke_off(calls: list[Future[requests.Response]]) -> int:
    return sum(isinstance(call.exception(), requests.RequestException) for call in calls)


def test_a_killed_worker_loses_only_its_own_calls_and_the_ledger_balances(stack: Stack) -> None:
    """Its calls in flight lapse; the other worker serves the rest; a new one starts within 5 s."""
    ada = stack.user()
    with Load(stack.users()) as load, ThreadPoolExecutor(12) as pool:
        ask = {"messages": "stand-in: slow_to_start"}
        waiting = [pool.submit(ada.post, "/gpt-4o", ask) for _ in range(12)]
        within(2, lambda: stack.metric("calls_in_flight") >= 12)
        workers = stack.broker.workers()
        os.kill(workers[0], signal.SIGKILL)
        lost = broke_off(waiting)
        within(5, lambda: len(set(stack.broker.workers()) - {workers[0]}) == 2)
        stack.wait_until_serving(ada)
    assert {call.result().status_code for call in waiting if not call.exception()} <= {200}
    assert load.tally()[GOOD] > 20
    assert set(load.tally()) <= {GOOD, (0, "no answer")}
    assert load.tally()[0, "no answer"] <= 8
    books = stack.wait_until_balanced(killed=True)
    assert lost <= books.lapsed <= lost + 4
    assert [line["event"] for line in stack.broker.log_lines(f"a worker died with {books.lapsed} calls in flight")]


def test_a_call_of_a_dead_worker_is_returned_within_a_minute(stack: Stack) -> None:
    """The lease expires without further action."""
    grace = stack.user()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(grace.post, "/gpt-4o", {"messages": "stand-in: slow_to_start"}) for _ in range(4)]
        within(2, lambda: stack.metric("calls_in_flight") >= 4)
        for worker in stack.broker.workers():
            os.kill(worker, signal.SIGKILL)
        assert broke_off(waiting) == 4
    stack.broker.wait_until("/ready")
    (key,) = stack.redis.client.keys(f"*{grace.id}*:calls:*")
    leases = stack.redis.client.zrange(key, 0, -1, withscores=True)
    assert len(leases) == 4
    assert all(0 < lapses_at - time.time() * 1000 <= 60_000 for _, lapses_at in leases)
    stack.redis.client.zadd(key, {call: 1 for call, _ in leases})  # as if the minute were over
    assert grace.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=100000;')
    stack.wait_until_balanced(killed=True)
    assert stack.metric("worker_deaths_total") >= 2


def test_a_stopping_master_ends_200_streams_properly(stack: Stack) -> None:
    """Short streams finish, endless ones end with the error line; upstream connections close; each counts once."""
    own = Stack(GRACEFUL_TIMEOUT="6", OPENAI_SILENCE_TIMEOUT="60", OPENAI_CALL_TIMEOUT="60")
    own.openai.token_delay = 0.04
    try:
        users = own.users(STREAMS)
        own.openai.next("silent_mid_stream", times=STREAMS // 2)
        with ThreadPoolExecutor(20) as pool:
            streams = list(pool.map(lambda user: user.stream(), users))
        assert [stream.text for stream in streams if stream.status_code != 200] == []
        with ThreadPoolExecutor(STREAMS) as pool:
            own.broker.process.terminate()
            contents = list(pool.map(lambda stream: stream.content, streams))
        assert sum(content.endswith(BROKEN) for content in contents) == STREAMS // 2
        assert all(content.startswith(b'{"data": ') for content in contents)
        assert own.broker.stop() == 0
        within(1, lambda: not any(seen.end == "under way" for seen in own.openai.completions()))
        keys = own.redis.client.keys("*:calls:*")
        assert sum(own.redis.client.zcount(key, "+inf", "+inf") for key in keys) == STREAMS
        assert sum(own.redis.client.zcard(key) for key in keys) == STREAMS
    finally:
        own.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_worker_that_grows_is_replaced_without_a_failed_call(workers: str) -> None:
    """Large prompts that wait for OpenAI fill the memory; all calls are answered."""
    own = Stack(
        WEB_CONCURRENCY=workers,
        WORKER_MAX_RSS=str(100 * MEGABYTE),
        OPENAI_FIRST_BYTE_TIMEOUT="20",
        OPENAI_CALL_TIMEOUT="30",
        CLIENT_TIMEOUT="20",
    )
    try:
        before = own.broker.workers()
        large = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 6 * MEGABYTE}}]
        ask = {"messages": [{"role": "user", "content": large}]}
        with Load(own.users(2)) as load, ThreadPoolExecutor(8) as pool:
            own.openai.next("slow_to_start", times=10, delay=2.5)
            users = own.users(8)
            answers = [pool.submit(user.post, "/gpt-4o", ask) for user in users]
            within(12, lambda: set(own.broker.workers()) - set(before))
            assert {answer.result().status_code for answer in answers} == {200}
            within(12, lambda: not set(own.broker.workers()) >= set(before))
            own.wait_until_serving(own.user())
        assert set(load.tally()) <= {GOOD, (0, "no answer")}
        assert load.tally()[0, "no answer"] <= 2  # a kept connection that was about to be closed
        assert own.log_count("worker exceeds its memory limit and is replaced") >= 1
        # where both had grown, one follows the other
        within(12, lambda: all(_resident(pid) < 100 * MEGABYTE for pid in own.broker.workers()))
    finally:
        own.stop()


def _resident(pid: int) -> int:
    """Resident bytes; 0 if the worker has exited."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@pytest.mark.parametrize("_", range(3))
def test_a_broker_that_is_stopped_as_its_workers_start_ends_at_once(_: int) -> None:
    """Ctrl-C, which stops workers without grace, also reaches workers that just started."""
    settings = {
        "OPENAI_API_KEY": "sk-stand-in",
        "SUPABASE_URL": "http://127.0.0.1:9",
        "REDIS_URL": "redis://127.0.0.1:9",
    }
    broker = BrokerProcess(settings | {"SUPABASE_SERVICE_KEY": "sb_secret_stand-in", "WEB_CONCURRENCY": "2"})
    within(20, lambda: "Booting worker" in broker.log())
    started = time.monotonic()
    assert broker.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 5
