"""Supabase gone, slow, failing, sending garbage, rotating its keys: under load of users whom the broker can judge."""

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.integration.conftest import User
from tests.integration.load import Load
from tests.integration.stack import SUPABASE_TIMEOUT, Stack
from tests.integration.waiting import within

GOOD = (200, "")
AWAY = "Supabase's signing keys cannot be fetched"
BACK = "Supabase's signing keys are fetched again"
SLACK = 1.0  # seconds, on a busy machine


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def asking() -> Iterator[Stack]:
    """A project that signs with HS256 and keeps the secret: Supabase is asked about each token."""
    made = Stack(WEB_CONCURRENCY="1")
    made.supabase.keys.in_use = None
    yield made
    made.stop()


def try_in(user: User) -> int:
    return user.post("/gpt-4o", {}).status_code


def mood(name: str) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack.supabase.mood = name

    change.__name__ = name
    return change


def gone(stack: Stack) -> None:
    stack.supabase.stop()


def back(stack: Stack) -> None:
    stack.supabase.mood = "well"
    if not stack.supabase.is_serving:
        stack.supabase.start_in_thread()


@pytest.mark.parametrize("fault", [gone, mood("slow"), mood("garbage")])
def test_a_supabase_that_is_away_costs_only_those_whom_nobody_can_judge(
    stack: Stack, fault: Callable[[Stack], None]
) -> None:
    """Users of known keys go on; one of a new key gets 503 within the time-out, and is let in soon after its return."""
    known = stack.user()
    with Load(stack.users()) as load:
        fault(stack)
        stack.supabase.keys.rotate()
        stranger = stack.user()
        response = stranger.post("/gpt-4o", {})
        assert (response.status_code, response.json()["code"]) == (503, "sign_in_unavailable")
        assert response.elapsed.total_seconds() < SUPABASE_TIMEOUT + SLACK
        assert try_in(known) == 400
        within(2, lambda: stack.metric("signing_keys_up") == 0)
        back(stack)
        within(5, lambda: all(try_in(stranger) == 400 for _ in range(6)))
    assert set(load.tally()) == {GOOD}
    assert load.slowest() < SUPABASE_TIMEOUT
    assert stack.said(AWAY) <= 2
    assert stack.said(BACK) <= 2
    stack.settle_up()


def test_keys_that_rotate_under_load_refuse_nobody(stack: Stack) -> None:
    """Old tokens and new ones, each from the first call on."""
    with Load(stack.users(2)) as load:
        stack.supabase.keys.rotate()
        assert [try_in(user) for user in stack.users(6)] == [400] * 6
        time.sleep(0.3)
    assert set(load.tally()) == {GOOD}


@pytest.mark.parametrize("name", ["silent", "failing", "garbage"])
def test_without_supabase_remembered_hs256_users_go_on(asking: Stack, name: str) -> None:
    """Others get 503 within the time-out, at the cost of nobody."""
    known, stranger = asking.users(2)
    assert try_in(known) == 400
    with Load([known]) as load:
        asking.supabase.mood = name
        response = stranger.post("/gpt-4o", {})
        assert (response.status_code, response.json()["code"]) == (503, "sign_in_unavailable")
        assert response.elapsed.total_seconds() < SUPABASE_TIMEOUT + SLACK
        asking.supabase.mood = "well"
        within(5, lambda: try_in(stranger) == 400)
    assert set(load.tally()) == {GOOD}


def test_repeated_bad_tokens_cost_no_network_call_and_no_redis_call(asking: Stack) -> None:
    """The same ones: one question each. Ever new ones: soon 429, and a question a second, whatever a header claims."""
    commands = _commands(asking)
    ada = asking.user()
    ada.token = ada.token[:-6] + "AAAAAA"
    asked = asking.supabase.requests["/user"]
    assert [try_in(ada) for _ in range(50)] == [401] * 50
    assert asking.supabase.requests["/user"] == asked + 1
    tallies = []
    for number in range(100):
        bad = asking.user()
        headers = {"X-Forwarded-For": f"198.51.100.{number}", "Authorization": f"Bearer {bad.token[:-6]}AAAAAA"}
        tallies.append(requests.post(asking.broker.url + "/gpt-4o", headers=headers, timeout=5))
    assert {response.status_code for response in tallies} == {401, 429}
    assert tallies[-1].json()["code"] == "too_many_bad_tokens"
    assert int(tallies[-1].headers["Retry-After"]) >= 1
    assert asking.supabase.requests["/user"] - asked < 80
    assert _commands(asking) == commands


def test_a_page_that_calls_many_times_at_once_causes_one_question(asking: Stack) -> None:
    """Whoever comes with the same token meanwhile shares the answer."""
    time.sleep(1.5)  # what the bad tokens of the test before have used up comes back
    asking.supabase.mood = "well"
    ada = asking.user()
    asked = asking.supabase.requests["/user"]
    with Load([ada] * 8) as load:
        pass
    assert set(load.tally()) == {GOOD}
    assert asking.supabase.requests["/user"] == asked + 1


def _commands(stack: Stack) -> int:
    """How many scripts Redis has run."""
    stats = stack.redis.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
