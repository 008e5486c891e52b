"""Streams of `/v1/responses`: OpenAI's bytes, promptly, kept alive, and ended with an event after a failure."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from broker.errors.last_lines import event
from deploy.local import response_shapes
from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.reading import read_promptly
from tests.integration.test_responses import NewUser, create, error, events
from tests.integration.waiting import within

PING = b": ping\n\n"
RESPONSE = response_shapes.events(
    response_shapes.new_response({"model": "gpt-4o"}) | {"output": [response_shapes.message("high water 🌊 満ちる")]}
)
CREATED, IN_PROGRESS, ITEM, PART, DELTA, *_, COMPLETED = RESPONSE
ACCIDENT = {"code": "server_error", "message": "Ask about req_1 of org-PLANTEDPLANTED12."}
LIMIT = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Rate limit reached in org-PLANTEDPLANTED12."}


def ask(user: User) -> requests.Response:
    """A streamed response, of which nothing is read yet."""
    return create(user, stream=True)


def used(user: User) -> int:
    return int(user.get("/v1/usage").json()["used"])


def error_event(number: int, of: dict[str, Any]) -> bytes:
    return event("error", {"type": "error", "sequence_number": number, "error": of})


def failed_event(number: int, of: dict[str, Any]) -> bytes:
    response = response_shapes.new_response({"model": "gpt-4o"}) | {"status": "failed", "error": of, "usage": None}
    return event("response.failed", {"type": "response.failed", "sequence_number": number, "response": response})


def play(openai: OpenAIStandIn, *blocks: bytes, delay: float = 0.0) -> None:
    openai.next("events", body=b"".join(blocks).decode(), delay=delay)


BEFORE_THE_ANSWER = {
    "comments": b": ka\n\n",
    "ping events": b'event: ping\ndata: {"type": "ping"}\n\n',
    "queued": CREATED.replace(b"response.created", b"response.queued"),
    "in progress": IN_PROGRESS,
}


@pytest.mark.parametrize("before", BEFORE_THE_ANSWER.values(), ids=BEFORE_THE_ANSWER.keys())
def test_the_first_byte_comes_within_the_ping_interval(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn, before: bytes
) -> None:
    """However long OpenAI sends other things than the answer; these are passed on as they come."""
    user = new_user(broker_with(STREAM_PING_INTERVAL="0.6"))
    play(openai, before * 10, *RESPONSE, delay=0.2)
    reads = read_promptly(lambda: ask(user), 0.6 + 0.2)
    assert len(reads) > 7
    assert b"".join(reads) == before * 10 + b"".join(RESPONSE)


def test_a_slow_first_event_is_preceded_by_a_comment(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The client has its status and a first byte within the interval."""
    user = new_user(broker_with(STREAM_PING_INTERVAL="0.6"))
    openai.next("pause", events=0, seconds=1.5)
    started = time.monotonic()
    with ask(user) as response:
        assert (response.status_code, response.raw.read1(65_536)) == (200, PING)
        assert time.monotonic() - started < 0.6 + 0.2
        rest = response.raw.read()
    assert rest.replace(PING, b"").startswith(b"event: response.created\n")
    assert b"event: response.completed\n" in rest


ODD = {
    "byte order mark": (b"\xef\xbb\xbf", b"\n"),
    "carriage returns": (b"", b"\r"),
    "both": (b"\xef\xbb\xbf", b"\r\n"),
    "comments and other fields": (b": ka\n\nid: 1\nretry: 5\n\n", b"\n"),
}


@pytest.mark.parametrize(("before", "end"), ODD.values(), ids=ODD.keys())
def test_odd_bytes_that_the_standard_allows_are_read_and_passed_on(
    ada: User, openai: OpenAIStandIn, before: bytes, end: bytes
) -> None:
    """Unchanged, except for the byte order mark; the response is its reader's afterwards."""
    body = b"".join(RESPONSE).replace(b"\n", end)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
    openai.next("raw", data=head % len(before + body) + before + body)
    assert ask(ada).content == before.removeprefix(b"\xef\xbb\xbf") + body
    within(2, lambda: ada.get("/v1/usage").json()["tokens"]["used"] == 42)  # the charge is written after the last byte
    response_id, item_id = response_ids()
    openai.next("response_text")
    assert create(ada, previous_response_id=response_id).status_code == 200
    openai.next("response_text")
    assert create(ada, input=[{"type": "item_reference", "id": item_id}]).status_code == 200


def response_ids() -> tuple[str, str]:
    last = json.loads(COMPLETED.partition(b"data: ")[2])["response"]
    return last["id"], last["output"][0]["id"]


def test_silence_is_filled_with_comments_between_events(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Comments are sent before the answer begins, too, and never within an event."""
    user = new_user(broker_with(STREAM_PING_INTERVAL="0.2", WEB_CONCURRENCY="1"))
    for where in ({"events": 0}, {"events": 1}, {"events": 5}, {"events": 5, "bytes": 20}):
        openai.next("pause", seconds=0.9, **where)
        content = ask(user).content
        assert (content.count(PING) >= 2) is ("bytes" not in where)
        assert content.replace(PING, b"").count(b"event: ") == len(events(ask(user)))


def test_silence_of_a_response_ends_at_the_time_out(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Comments do not keep a dead stream alive: it ends with an error, and costs nothing if nothing came."""
    user = new_user(broker_with(STREAM_PING_INTERVAL="0.2", OPENAI_SILENCE_TIMEOUT="0.7"))
    for behaviour, cost in (("silent_after_headers", 0), ("silent_mid_stream", 1)):
        before = used(user)
        openai.next(behaviour)
        body = ask(user).content
        assert body.count(PING) in {2, 3}
        assert body.rpartition(b"event: ")[2].startswith(b"error\n")
        assert b'"openai_timeout"' in body
        assert used(user) == before + cost


# OpenAI's events of a failure, with the status that the client gets if no part of the answer has come
FAILURES = {
    "error": ((error_event,), ACCIDENT, 502),
    "failed": ((failed_event,), ACCIDENT, 502),
    "error and failed": ((error_event, failed_event), LIMIT, 503),
}
with_every_failure = pytest.mark.parametrize(("makers", "of", "status"), FAILURES.values(), ids=FAILURES.keys())
Makers = tuple[Callable[[int, dict[str, Any]], bytes], ...]


@with_every_failure
def test_a_failure_before_the_answer_has_its_status_and_costs_nothing(
    ada: User, openai: OpenAIStandIn, makers: Makers, of: dict[str, str], status: int
) -> None:
    """OpenAI had sent status 200 and two events. The error names nothing of the operator's account."""
    play(openai, CREATED, IN_PROGRESS, *(make(2 + number, of) for number, make in enumerate(makers)))
    response = ask(ada)
    assert (response.status_code, set(error(response))) == (status, {"message", "type", "param", "code"})
    assert b"PLANTED" not in response.content
    assert used(ada) == 0


@with_every_failure
def test_a_failure_within_the_answer_is_its_last_event_and_counts(
    ada: User, openai: OpenAIStandIn, makers: Makers, of: dict[str, str], status: int
) -> None:
    """OpenAI's own events, with a sentence of the broker's, and no other after them."""
    begun = RESPONSE[:5]
    play(openai, *begun, *(make(5 + number, of) for number, make in enumerate(makers)))
    response = ask(ada)
    assert response.status_code == 200
    assert response.content.startswith(b"".join(begun))
    seen = events(response)
    expected = [make(0, of).partition(b"\n")[0].removeprefix(b"event: ").decode() for make in makers]
    assert [one["type"] for one in seen[5:]] == expected
    assert [one["sequence_number"] for one in seen] == list(range(len(seen)))
    for one in seen[5:]:
        told = one.get("error") or one["response"]["error"]
        assert told["code"] == of["code"]
        assert "PLANTED" not in told["message"]
    assert used(ada) == 1


def test_the_usage_of_a_failure_is_charged_though_an_error_event_came_first(ada: User, openai: OpenAIStandIn) -> None:
    """`response.failed` may follow in a read of its own and carry it."""
    response = response_shapes.new_response({"model": "gpt-4o"}) | {"status": "failed", "error": ACCIDENT}
    failed = event("response.failed", {"type": "response.failed", "sequence_number": 6, "response": response})
    play(openai, *RESPONSE[:5], error_event(5, ACCIDENT), failed, delay=0.05)
    assert events(ask(ada))[-1]["type"] == "response.failed"
    within(2, lambda: ada.get("/v1/usage").json()["tokens"]["used"] == 42)


def test_the_tier_that_served_a_response_is_charged(ada: User, openai: OpenAIStandIn) -> None:
    """The first event says "auto", the last one which tier it was."""
    usual = 12 * 2_500 + 30 * 10_000
    for tier, charged in (("default", usual), ("priority", 3 * usual)):
        served = COMPLETED.replace(b'"error":null', b'"service_tier":"%s","error":null' % tier.encode())
        play(openai, CREATED.replace(b'"error":null', b'"service_tier":"auto","error":null'), *RESPONSE[1:-1], served)
        assert events(ask(ada))[-1]["response"]["service_tier"] == tier
        within(2, lambda due=charged: round(ada.get("/v1/usage").json()["dollars"]["used"] * 10**9) == due)  # type: ignore[misc]


CUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "closed": ("cut_mid_stream", {"events": 5}),
    "reset": ("cut_mid_stream", {"events": 5, "reset": True}),
    "garbage": ("garbage_event", {"events": 5}),
    "no last event": ("events", {"body": b"".join(RESPONSE[:5]).decode()}),
    "half an event": ("raw", {"data": b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                                      + b"".join(RESPONSE[:5]) + RESPONSE[5][:-9]}),
}  # fmt: skip


@pytest.mark.parametrize(("behaviour", "options"), CUTS.values(), ids=CUTS.keys())
def test_a_cut_answer_never_ends_like_a_complete_one(
    ada: User, broker: BrokerProcess, openai: OpenAIStandIn, behaviour: str, options: dict[str, Any]
) -> None:
    """Its last event is an `error` with the next number; what came is delivered, and counts."""
    openai.next(behaviour, **options)
    seen = events(ask(ada))
    assert [one["type"] for one in seen[-2:]] == ["response.output_text.delta", "error"]
    assert [one["sequence_number"] for one in seen] == list(range(6))
    assert seen[-1]["message"] == seen[-1]["error"]["message"]
    assert used(ada) == 1
    within(1, lambda: [line["outcome"] for line in broker.log_lines() if line["user"] == ada.id][:1] != ["answered"])


@pytest.mark.parametrize(("behaviour", "options"), [CUTS["closed"], CUTS["reset"], CUTS["garbage"]])
def test_an_answer_that_is_cut_before_it_begins_has_its_status_and_costs_nothing(
    ada: User, openai: OpenAIStandIn, behaviour: str, options: dict[str, Any]
) -> None:
    """`response.created` and `response.in_progress` are no answer."""
    openai.next(behaviour, **options | {"events": 2})
    assert ask(ada).status_code == 502
    assert used(ada) == 0


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_complete_answer_is_complete_though_openai_does_not_close(
    ada: User, openai: OpenAIStandIn, seconds: float
) -> None:
    """The last event ends the answer, not the end of the body."""
    openai.next("pause", events=len(RESPONSE), seconds=seconds)
    assert events(ask(ada))[-1]["type"] == "response.completed"
    openai.next("raw", data=b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"".join(RESPONSE))
    assert events(ask(ada))[-1]["type"] == "response.completed"
