"""Every kind of failure of OpenAI for one user, while others call."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.openai_api import KEY
from tests.integration.load import Load
from tests.integration.stack import CALL_TIMEOUT, OPENAI_TIMEOUT, Stack
from tests.integration.waiting import within

GOOD = (200, "")
BROKEN = b'{"error": "Error while streaming"}\n'
REFUSED = "OpenAI refuses the OPENAI_API_KEY"
SLACK = 1.0  # seconds, on a busy machine


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.stop()


def remaining(response: requests.Response) -> int:
    return int(response.headers["RateLimit"].split("r=")[1].split(";")[0])


@pytest.mark.parametrize(
    ("reply", "path", "status", "seconds"),
    [
        ("silent", "/gpt-4o", 504, CALL_TIMEOUT),
        ("silent", "/stream", 504, OPENAI_TIMEOUT),
        ("silent_after_headers", "/gpt-4o", 504, CALL_TIMEOUT),
        ("silent_after_headers", "/stream", 504, OPENAI_TIMEOUT),
        ("slow_to_start", "/gpt-4o", 200, 0.5),
        ("slow_to_start", "/stream", 200, 0.5),
        ("cut_before_headers", "/gpt-4o", 502, 1.0),
        ("garbage_json", "/gpt-4o", 502, 0.0),
        ("rate_limited", "/gpt-4o", 503, 1.0),
        ("429_rate_limit", "/gpt-4o", 503, 1.0),
        ("500_server_error", "/stream", 502, 1.0),
        ("503_plain_text", "/gpt-4o", 502, 1.0),
        ("401_masked_key", "/gpt-4o", 502, 0.0),
        ("429_insufficient_quota", "/stream", 502, 0.0),
    ],
)
def test_a_failure_before_the_first_text_has_its_status_in_time_and_costs_nothing(
    stack: Stack, reply: str, path: str, status: int, seconds: float
) -> None:
    """The time is one time-out, or one back-off and another attempt. Other users are not affected."""
    ada = stack.user()
    with Load(stack.users(2), stack.broker.workers()) as load:
        started = time.monotonic()
        response = ada.post(path, {"messages": f"stand-in: {reply}", "model": "gpt-4o"})
        took = time.monotonic() - started
    assert response.status_code == status
    assert took < seconds + SLACK
    assert ("Retry-After" in response.headers) is (status == 503)
    assert remaining(response) == (99_999 if status == 200 else 100_000)
    assert set(load.tally()) == {GOOD}
    assert load.slowest() < SLACK
    if status != 200:
        assert stack.metric("upstream_failures_total", kind=response.json()["code"]) >= 1
    assert stack.wait_until_balanced().in_flight == 0


@pytest.mark.parametrize("reply", ["silent_mid_stream", "cut_mid_stream", "garbage_event"])
def test_a_failure_within_the_answer_is_its_last_line_and_counts(stack: Stack, reply: str) -> None:
    """It arrives at once or after the silence time-out. Other users are not affected."""
    ada = stack.user()
    with Load(stack.users(2), stack.broker.workers()) as load:
        started = time.monotonic()
        content = ada.stream(f"stand-in: {reply}").content
        took = time.monotonic() - started
    assert content.endswith(BROKEN)
    assert content.startswith(b'{"data": ')
    assert took < OPENAI_TIMEOUT + SLACK
    assert set(load.tally()) == {GOOD}
    assert remaining(ada.post("/gpt-4o", {})) == 99_999
    stack.wait_until_balanced()


def test_temporary_500s_are_retried(stack: Stack) -> None:
    """One retry gives the answer."""
    with Load(stack.users(2), stack.broker.workers()) as load:
        for _ in range(3):
            stack.openai.next("500_server_error")
            time.sleep(0.8)  # so that no call meets two of them
    assert set(load.tally()) == {GOOD}
    assert stack.metric("upstream_retries_total", kind="openai_failed") >= 1
    stack.wait_until_balanced()


def test_a_key_that_is_refused_during_the_day_is_named(stack: Stack) -> None:
    """The answer is 502 without a retry; `/ready` and one line per worker name the key, and later its recovery."""
    ada, key, lines = stack.user(), stack.openai.key, stack.log_count(REFUSED)

    def parts() -> set[str]:
        return {requests.get(stack.broker.url + "/ready", timeout=5).json()["parts"]["openai"] for _ in range(8)}

    stack.openai.key = "sk-another"
    responses = [ada.post("/gpt-4o", {"messages": "x"}) for _ in range(12)]
    assert {(response.status_code, response.json()["code"]) for response in responses} == {(502, "openai_refused")}
    assert "key refused" in parts()
    stack.openai.key = key
    assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 200
    within(5, lambda: parts() == {"ok"})
    assert 1 <= stack.log_count(REFUSED) - lines <= 2
    assert remaining(ada.post("/gpt-4o", {})) == 99_999
    stack.wait_until_balanced()


@pytest.mark.parametrize("reply", ["401_masked_key", "429_insufficient_quota", "429_rate_limit"])
def test_with_several_keys_the_client_notices_no_refusal(reply: str) -> None:
    """The call goes on to the next key at once, and later ones begin there; the log has the keys' numbers."""
    second = "sk-stand-in-second"
    stack = Stack(OPENAI_API_KEY=f"{KEY},{second}", OPENAI_MAX_RETRIES="0", WEB_CONCURRENCY="1")
    try:
        stack.openai.other_accounts[second] = stack.openai.responses
        stack.openai.next(reply)
        began = time.monotonic()
        assert stack.user().post("/gpt-4o", {"messages": "x"}).status_code == 200
        assert b'"error"' not in stack.user().stream().content
        assert time.monotonic() - began < 2
        assert [line["key_number"] for line in stack.broker.log_lines("OpenAI key is set aside")] == [1]
        assert [line["key_number"] for line in stack.broker.log_lines("OpenAI key is in use")] == [2]
        assert "sk-stand-in" not in stack.broker.log()
        stack.wait_until_balanced()
    finally:
        stack.stop()


def test_an_openai_that_refuses_connections_fails_calls_in_time_and_costs_nothing(stack: Stack) -> None:
    """The answer is 502 after one more attempt. Calls are served within 5 s of OpenAI's return."""
    ada = stack.user()
    with Load(stack.users(2), stack.broker.workers()) as load:
        stack.openai.stop()
        response = ada.post("/gpt-4o", {"messages": "x"})
        assert (response.status_code, response.json()["code"]) == (502, "openai_unreachable")
        assert response.elapsed.total_seconds() < 1.0 + SLACK
        assert requests.get(stack.broker.url + "/health", timeout=5).status_code == 200
        stack.openai.start_in_thread()
        assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 200
    assert set(load.tally()) <= {GOOD, (502, "openai_unreachable"), (200, "broken")}
    assert remaining(ada.post("/gpt-4o", {})) == 99_999
    stack.wait_until_balanced()


def test_many_silent_calls_delay_no_other_call(stack: Stack) -> None:
    """A hundred calls wait for their time-out; other calls take no longer."""
    ada = stack.user()
    with Load(stack.users(2), stack.broker.workers()) as load, ThreadPoolExecutor(100) as pool:
        ask = {"messages": "stand-in: silent"}
        waiting = [pool.submit(ada.post, "/gpt-4o", ask) for _ in range(100)]
        assert {one.result().status_code for one in waiting} == {504}
    assert set(load.tally()) == {GOOD}
    assert load.slowest() < 2 * SLACK
    assert stack.wait_until_balanced().given_back >= 100
