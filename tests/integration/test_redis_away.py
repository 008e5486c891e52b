"""USAGE_WITHOUT_REDIS=allow: its worst case, and the metrics, `/ready` and log lines while Redis is unavailable."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.integration.load import Load
from tests.integration.stack import Stack
from tests.integration.waiting import within

AWAY = "Redis is unavailable: calls are counted by each worker until it recovers"
BACK = "Redis has recovered"
LIMIT = 5
WORKERS = 2
SHARES = 3 * WORKERS  # the limit, rounded up to a multiple of the workers


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack(USAGE_WITHOUT_REDIS="allow", DAILY_LIMIT=str(LIMIT), WEB_CONCURRENCY=str(WORKERS))
    yield made
    made.stop()


def ask(stack: Stack, times: int) -> Counter[int]:
    ada = stack.user()
    with ThreadPoolExecutor(20) as pool:
        return Counter(pool.map(lambda _: ada.post("/gpt-4o", {"messages": "x"}).status_code, range(times)))


def test_calls_go_on_without_redis_up_to_the_stated_worst_case(stack: Stack) -> None:
    """In two outages a day, a user makes at most the limit again. Redis holds all those calls afterwards."""
    ada = stack.user()
    for _ in range(LIMIT):
        assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 200
    assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 429
    within(2, lambda: stack.wait_until_balanced().settled == LIMIT)
    seen: Counter[int] = Counter()

    def refused() -> bool:
        status = ada.post("/gpt-4o", {"messages": "x"}).status_code
        seen[status] += 1
        return status == 429

    for _ in range(2):
        stack.redis.stop()
        assert not any(refused() for _ in range(2 * SHARES))
        within(2, lambda: stack.metric("counting_locally") == 1 and stack.metric("redis_up") == 0)
        ready = requests.get(stack.broker.url + "/ready", timeout=5)
        assert (ready.status_code, ready.json()["parts"]["redis"]) == (200, "counted without")
        stack.redis.start()
        within(5, lambda: all(refused() for _ in range(8)))
        within(2, lambda: stack.metric("counting_locally") == 0)
        books = stack.wait_until_balanced()
        assert books.in_redis == books.answered == LIMIT + seen[200]
    assert set(seen) == {200, 429, 503}
    assert LIMIT // WORKERS < seen[200] <= SHARES
    assert 2 <= stack.log_count(AWAY) <= 2 * WORKERS
    assert 2 <= stack.log_count(BACK) <= 2 * WORKERS


def test_a_frozen_redis_delays_one_call_a_second_and_refuses_none(stack: Stack) -> None:
    """A call that Redis counted without answering is not counted twice."""
    with Load(stack.users(4)) as load:
        stack.redis.freeze()
        time.sleep(1.5)
        stack.redis.thaw()
        time.sleep(1.5)
    assert {status for status, _ in load.tally()} <= {200, 429, 503}
    assert load.tally()[200, ""] >= 4 * LIMIT // 2
    books = stack.wait_until_balanced()
    assert books.in_redis == books.answered
    assert stack.log_count(AWAY) <= WORKERS
