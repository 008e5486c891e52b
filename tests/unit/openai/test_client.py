"""Requests to OpenAI: the bytes sent, the retries, and the fault of each failure."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses

from broker.active_calls import OpenCall, OpenCalls
from broker.errors.base import BodyNotJson
from broker.errors.openai import (
    OpenAIBroken,
    OpenAIOutOfQuota,
    OpenAIRateLimited,
    OpenAITimeout,
    OpenAIUnreachable,
    RefusedByOpenAI,
    UpstreamFault,
)
from broker.openai.client import Upstream
from broker.settings.settings import Settings
from tests.apps import OPENAI, REQUIRED
from tests.recorded import named

URL = OPENAI + "/chat/completions"
BODY = {"model": "gpt-4o", "messages": [], "temperature": 0.7}


@pytest.fixture
def openai() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between retries, which take no time here."""
    taken: list[float] = []
    sleep, here = time.sleep, threading.current_thread()

    def nap(seconds: float) -> None:
        if threading.current_thread() is here:
            taken.append(seconds)
        else:  # a thread that an earlier test has left behind: it would not rest any more, and spin
            sleep(seconds)

    monkeypatch.setattr("broker.openai.client.time.sleep", nap)
    return taken


@pytest.fixture
def retried() -> list[str]:
    return []


@pytest.fixture
def upstream(retried: list[str]) -> Upstream:
    return Upstream(Settings.from_environ(REQUIRED | {"OPENAI_MAX_RETRIES": "2"}), retried.append)


@pytest.fixture
def call() -> Iterator[OpenCall]:
    made = OpenCalls(within=60).begin(None)
    yield made
    made.close()


def play(openai: responses.RequestsMock, *names: str, **headers: str) -> None:
    for name in names:
        reply = named(name)
        openai.post(URL, status=reply.status, body=reply.body, headers=headers)


def test_it_sends_the_body_with_the_key(openai: responses.RequestsMock, upstream: Upstream, call: OpenCall) -> None:
    """The body is JSON with identity encoding; settings of the environment do not apply."""
    play(openai, "answer_plain")
    reply = upstream.ask(BODY, call)
    assert reply.answer.text == "The tide comes in twice a day."
    sent = openai.calls[0].request
    assert json.loads(sent.body or "") == BODY
    assert sent.headers["Authorization"] == "Bearer " + REQUIRED["OPENAI_API_KEY"]
    assert sent.headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in sent.headers


def test_a_stream_asks_for_its_usage(openai: responses.RequestsMock, upstream: Upstream, call: OpenCall) -> None:
    """The broker needs the token counts even if the client does not ask for them."""
    play(openai, "stream_usage")
    stream, _ = upstream.open_stream(BODY, call)
    assert b"".join(stream.reads()) == named("stream_usage").body
    stream.close()
    sent = json.loads(openai.calls[0].request.body or "")
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    "first",
    ["408_request_timeout", "409_conflict", "429_rate_limit", "429_slow_down", "500_server_error", "503_plain_text"],
)
def test_a_failure_that_may_pass_is_retried(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall, pauses: list[float], first: str
) -> None:
    """The back-off grows."""
    play(openai, first, first, "answer_plain")
    assert upstream.ask(BODY, call).answer.text
    assert 0.3 < pauses[0] <= 0.5
    assert 0.7 < pauses[1] <= 1.0


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("500_server_error", OpenAIBroken),
        ("429_rate_limit", OpenAIRateLimited),
    ],
)
def test_two_retries_are_all(
    openai: responses.RequestsMock,
    upstream: Upstream,
    call: OpenCall,
    pauses: list[float],
    name: str,
    fault: type[Exception],
) -> None:
    """The client gets the fault after two retries."""
    play(openai, name, name, name)
    with pytest.raises(fault):
        upstream.ask(BODY, call)
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("name", "fault"), [("429_insufficient_quota", OpenAIOutOfQuota), ("400_invalid_image", RefusedByOpenAI)]
)
def test_permanent_failures_are_not_retried(
    openai: responses.RequestsMock,
    upstream: Upstream,
    call: OpenCall,
    pauses: list[float],
    name: str,
    fault: type[Exception],
) -> None:
    """A retry cannot succeed."""
    play(openai, name)
    with pytest.raises(fault):
        upstream.ask(BODY, call)
    assert pauses == []


def test_retry_after_is_obeyed(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall, pauses: list[float], retried: list[str]
) -> None:
    """`retry-after-ms` is preferred."""
    play(openai, "429_rate_limit", **{"Retry-After": "7", "Retry-After-Ms": "6500"})
    play(openai, "answer_plain")
    upstream.ask(BODY, call)
    assert pauses == [6.5]
    assert retried == ["openai_rate_limited"]


def test_a_long_retry_after_is_passed_on(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall, pauses: list[float]
) -> None:
    """The client gets the wait at once."""
    play(openai, "429_rate_limit", **{"Retry-After": "40"})
    with pytest.raises(OpenAIRateLimited) as raised:
        upstream.ask(BODY, call)
    assert (raised.value.retry_after, pauses) == (40, [])


@pytest.mark.parametrize(
    ("error", "fault", "tries"),
    [
        (requests.ConnectionError("sk-planted"), OpenAIUnreachable, 3),
        (requests.ConnectTimeout(), OpenAIUnreachable, 3),
        (requests.exceptions.SSLError(), OpenAIUnreachable, 3),
        (requests.ReadTimeout(), OpenAITimeout, 1),
    ],
)
def test_connections_are_tried_again_and_paid_silence_is_not(
    openai: responses.RequestsMock,
    upstream: Upstream,
    call: OpenCall,
    pauses: list[float],
    error: Exception,
    fault: type[Exception],
    tries: int,
) -> None:
    """OpenAI may be working on, and charging for, a request that it has not answered."""
    for _ in range(tries):
        openai.post(URL, body=error)
    with pytest.raises(fault) as raised:
        upstream.ask(BODY, call)
    assert len(pauses) == tries - 1
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize("refusal", ["400_temperature_unsupported", "400_temperature_parameter"])
def test_a_refused_parameter_is_left_out_at_once(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall, pauses: list[float], refusal: str
) -> None:
    """There is no wait and no retry is used up. The reply names the parameter; the next request omits it."""
    play(openai, refusal, "answer_plain", "answer_plain")
    assert upstream.ask(BODY, call).changes == ("temperature",)
    assert upstream.ask(BODY, call).changes == ("temperature",)
    sent = ["temperature" in json.loads(one.request.body or "") for one in openai.calls]
    assert sent == [True, False, False]
    assert pauses == []


def test_a_refused_parameter_that_was_not_sent_is_the_callers(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall
) -> None:
    """OpenAI's 400 goes to the client at once."""
    play(openai, "400_temperature_unsupported")
    with pytest.raises(RefusedByOpenAI):
        upstream.ask({"model": "gpt-4o", "messages": []}, call)


@pytest.mark.parametrize("name", ["500_server_error", "429_rate_limit"])
def test_without_retry_openai_is_asked_once(
    openai: responses.RequestsMock, upstream: Upstream, call: OpenCall, pauses: list[float], name: str
) -> None:
    """The client's SDK retries by itself, guided by OpenAI's `Retry-After`."""
    play(openai, name, **{"Retry-After": "7"})
    with pytest.raises(UpstreamFault) as raised:
        upstream.ask(BODY, call, retry=False)
    assert (len(openai.calls), pauses, raised.value.retry_after, raised.value.should_retry) == (1, [], 7, True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_invalid_json_is_never_sent(upstream: Upstream, call: OpenCall, value: float) -> None:
    """The caller gets a 415."""
    with pytest.raises(BodyNotJson):
        upstream.ask({**BODY, "messages": [{"content": value}]}, call)


@pytest.mark.parametrize("text", ["\ud83c", "x\udfff"])
def test_half_a_surrogate_pair_is_never_sent(upstream: Upstream, call: OpenCall, text: str) -> None:
    """UTF-8 cannot encode it."""
    with pytest.raises(BodyNotJson):
        upstream.ask({**BODY, "messages": [{"role": "user", "content": text}]}, call)


def test_the_body_is_sent_unescaped(openai: responses.RequestsMock, upstream: Upstream, call: OpenCall) -> None:
    """An emoji takes 4 bytes, not 12."""
    play(openai, "answer_plain")
    upstream.ask({**BODY, "messages": [{"role": "user", "content": "🌊" * 1000}]}, call)
    assert len(openai.calls[0].request.body or b"") < 4200


def test_the_list_of_models_is_read(openai: responses.RequestsMock, upstream: Upstream) -> None:
    """Malformed entries are ignored."""
    listed: list[Any] = [{"id": "gpt-4o", "shutdown_date": "2027-01-14"}, 7]
    openai.get(OPENAI + "/models", json={"data": listed})
    openai.get(OPENAI + "/models", json={"data": None})
    assert upstream.list_models() == listed[:1]
    assert upstream.list_models() == []
