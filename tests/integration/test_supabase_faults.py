"""Supabase down, slow, failing, sending garbage, or rotating its keys, under load of users with valid tokens."""

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.integration.conftest import User
from tests.integration.load import Load
from tests.integration.stack import SUPABASE_TIMEOUT, Stack
from tests.integration.waiting import within

GOOD = (200, "")
UNAVAILABLE = "Supabase's signing keys cannot be fetched"
AVAILABLE = "Supabase's signing keys are fetched again"
SLACK = 0.3  # seconds


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def asking() -> Iterator[Stack]:
    """A project that signs with HS256 and does not share the secret: Supabase checks each token."""
    made = Stack(WEB_CONCURRENCY="1")
    made.supabase.keys.in_use = None
    yield made
    made.stop()


def try_in(user: User) -> int:
    return user.post("/gpt-4o", {}).status_code


def behaviour(name: str) -> Callable[[Stack], None]:
    def change(stack: Stack) -> None:
        stack.supabase.behaviour = name

    change.__name__ = name
    return change


def down(stack: Stack) -> None:
    stack.supabase.stop()


def up(stack: Stack) -> None:
    stack.supabase.behaviour = "well"
    if not stack.supabase.is_serving:
        stack.supabase.start_in_thread()


@pytest.mark.parametrize("fault", [down, behaviour("slow"), behaviour("garbage")])
def test_an_outage_of_supabase_affects_only_tokens_of_unknown_keys(
    stack: Stack, fault: Callable[[Stack], None]
) -> None:
    """Tokens of known keys stay accepted; one of a new key gets 503 within the time-out until Supabase answers."""
    known = stack.user()
    with Load(stack.users(), stack.broker.workers()) as load:
        fault(stack)
        stack.supabase.keys.rotate()
        newcomer, watch = stack.user(), stack.stopwatch()
        response = newcomer.post("/gpt-4o", {})
        assert watch.seconds() < SUPABASE_TIMEOUT + SLACK
        assert (response.status_code, response.json()["code"]) == (503, "sign_in_unavailable")
        assert try_in(known) == 400
        within(2, lambda: stack.metric("signing_keys_up") == 0)
        up(stack)
        within(5, lambda: all(try_in(newcomer) == 400 for _ in range(6)))
    assert set(load.tally()) == {GOOD}
    assert load.slowest() < SUPABASE_TIMEOUT / 2
    assert stack.log_count(UNAVAILABLE) <= 2
    assert stack.log_count(AVAILABLE) <= 2
    stack.wait_until_balanced()


def test_a_rotation_under_load_refuses_no_valid_token(stack: Stack) -> None:
    """Old and new tokens are accepted from the first call on."""
    with Load(stack.users(2)) as load:
        stack.supabase.keys.rotate()
        assert [try_in(user) for user in stack.users(6)] == [400] * 6
        time.sleep(0.3)
    assert set(load.tally()) == {GOOD}


@pytest.mark.parametrize("name", ["silent", "failing", "garbage"])
def test_cached_hs256_tokens_stay_accepted_without_supabase(asking: Stack, name: str) -> None:
    """Others get 503 within the time-out and delay no other call."""
    known, newcomer = asking.users(2)
    assert try_in(known) == 400
    with Load([known]) as load:
        asking.supabase.behaviour = name
        watch = asking.stopwatch()
        response = newcomer.post("/gpt-4o", {})
        assert watch.seconds() < SUPABASE_TIMEOUT + SLACK
        assert (response.status_code, response.json()["code"]) == (503, "sign_in_unavailable")
        asking.supabase.behaviour = "well"
        within(5, lambda: try_in(newcomer) == 400)
    assert set(load.tally()) == {GOOD}


def test_repeated_bad_tokens_cost_no_network_call_and_no_redis_call(asking: Stack) -> None:
    """A repeat costs one check. New ones soon get 429 and one check a second, whatever `X-Forwarded-For` holds."""
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


def test_concurrent_calls_with_one_token_cause_one_check(asking: Stack) -> None:
    """Concurrent calls share the answer."""
    time.sleep(1.5)  # the bucket of failed checks refills
    asking.supabase.behaviour = "well"
    ada = asking.user()
    asked = asking.supabase.requests["/user"]
    with Load([ada] * 8) as load:
        pass
    assert set(load.tally()) == {GOOD}
    assert asking.supabase.requests["/user"] == asked + 1


def _commands(stack: Stack) -> int:
    """The number of scripts that Redis has run."""
    stats = stack.redis.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
