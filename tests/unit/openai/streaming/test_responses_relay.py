"""The client gets OpenAI's events unchanged, except failures, wherever the network cuts them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors.base import Fault
from broker.errors.last_lines import event
from broker.errors.openai import OpenAINonsense, OpenAIRateLimited, RefusedByOpenAI, StreamBroken
from broker.openai.streaming.event_splitter import PING
from broker.openai.streaming.responses_relay import MAX_EVENT_BYTES, ResponsesRelay
from tests.recorded import RecordedReply, response_named, response_streams
from tests.unit.openai.streaming.test_sse import cut

FAILED = ("failed", "error")
ENDS = ("response.completed", "response.incomplete", "response.failed")


def relayed(reads: list[bytes]) -> tuple[bytes, ResponsesRelay]:
    """Return the client's bytes and the relay at the end."""
    relay, got = ResponsesRelay(), b""
    for data in reads:
        got += relay.feed(data)
        if relay.fault:
            return got, relay
    return got + relay.finish(), relay


def parsed(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.partition(b"data: ")[2]) for block in body.split(b"\n\n") if b"data: " in block]


def ids_in(body: bytes) -> tuple[set[str], set[str]]:
    """The response ids and the item ids that a client can read in a stream."""
    responses, items = set(), set()
    for one in parsed(body):
        response = one.get("response") or {}
        responses |= {response["id"]} if response else set()
        items |= {item["id"] for item in [*response.get("output", []), *([one["item"]] if "item" in one else [])]}
        items |= {one["item_id"]} if "item_id" in one else set()
    return responses, items


def is_failure(reply: RecordedReply) -> bool:
    return any(word in reply.name for word in FAILED)


@pytest.mark.parametrize("reply", response_streams(), ids=lambda reply: reply.name)
@settings(max_examples=25)
@given(places=st.lists(st.integers(0, 50_000), max_size=30))
def test_any_split_of_a_recorded_stream_is_passed_on_unchanged(reply: RecordedReply, places: list[int]) -> None:
    """Every byte is passed on. Of a failure only the sentences change."""
    got, relay = relayed(cut(reply.body, places))
    if not is_failure(reply):
        assert got == reply.body
        assert (relay.fault is None) is any(f"event: {end}".encode() in got for end in ENDS[:2])
        return
    assert relay.fault
    assert [one["type"] for one in parsed(got)] == [one["type"] for one in parsed(reply.body)]
    assert b"org-" not in got
    assert b"proj_" not in got


@pytest.mark.parametrize("reply", response_streams(), ids=lambda reply: reply.name)
def test_every_id_is_reported_with_the_read_that_brings_it(reply: RecordedReply) -> None:
    """The owner is recorded before the client sees the id."""
    relay, known = ResponsesRelay(), set[str]()
    for start in range(0, len(reply.body), 700):
        got = relay.feed(reply.body[start : start + 700])
        if ids := relay.take_ids():
            known |= {ids[0], *ids[1]}
        responses, items = ids_in(got)
        assert responses | items <= known
    assert relay.take_ids() is None


@pytest.mark.parametrize(("name", "usage"), [
    ("response_stream_text", 30), ("response_stream_incomplete", 30), ("response_stream_failed_midway", 0),
])  # fmt: skip
def test_usage_comes_with_the_last_event(name: str, usage: int) -> None:
    """Completed, incomplete and failed responses carry it; a failed one may have none."""
    _, relay = relayed([response_named(name).body])
    assert relay.usage.get("completion_tokens", 0) == usage


def test_usage_of_a_failed_response_is_read() -> None:
    """Usage is read if OpenAI sends it, and the tier with it."""
    failed = {"id": "resp_1", "usage": {"input_tokens": 3}, "service_tier": "flex", "error": {}}
    _, relay = relayed([event("response.failed", {"type": "response.failed", "response": failed})])
    assert relay.usage == {"prompt_tokens": 3, "service_tier": "flex"}


def test_an_answer_begins_with_its_first_item() -> None:
    """`created` and `in_progress` are no answer; a reasoning item is."""
    relay = ResponsesRelay()
    blocks = response_named("response_stream_reasoning").body.split(b"\n\n")
    begun = []
    for block in blocks[:3]:
        relay.feed(block + b"\n\n")
        begun.append(relay.begun)
    assert begun == [False, False, True]


def test_a_failure_before_the_answer_is_a_fault_without_an_answer() -> None:
    """The endpoint can still give it its status."""
    got, relay = relayed([response_named("response_stream_failed_rate_limit").body])
    assert isinstance(relay.fault, OpenAIRateLimited)
    assert not relay.begun
    error, failed = parsed(got)[-2:]
    assert error["error"]["code"] == error["code"] == "rate_limit_exceeded"
    assert error["sequence_number"] == 2
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": relay.fault.sentence}
    assert failed["response"]["status"] == "failed"


def test_a_failure_that_was_passed_on_is_not_repeated() -> None:
    """Any other fault becomes an `error` event with the next number, in both forms that clients read."""
    _, relay = relayed([response_named("response_stream_failed_midway").body])
    assert relay.fault
    assert relay.last_event(relay.fault) == b""
    _, broken = relayed([response_named("response_stream_cut").body])
    assert isinstance(broken.fault, StreamBroken)
    (last,) = parsed(broken.last_event(broken.fault))
    assert (last["type"], last["sequence_number"]) == ("error", len(parsed(response_named("response_stream_cut").body)))
    assert last["message"] == last["error"]["message"] == broken.fault.sentence
    assert last["error"]["code"] == "openai_stream_broken"


def test_a_refusal_of_the_input_keeps_openais_sentence_without_the_account() -> None:
    """The documented form of the event works too, and so does one without `response.failed`."""
    got, relay = relayed([response_named("response_stream_error_flat").body])
    assert isinstance(relay.fault, RefusedByOpenAI)
    assert parsed(got)[-1]["message"] == "Invalid prompt: it was flagged. See …."
    assert parsed(got)[-1]["error"]["param"] == "input"


@pytest.mark.parametrize("error", [
    {}, {"code": "server_error", "message": "org-PLANTEDPLANTED1"}, {"message": ["planted"]}, {"code": {"planted": 1}},
    {"code": "sk-planted123456", "message": "sk-planted123456"}, {"type": ["planted"], "param": "sk-planted123456"},
    {"code": "rate_limit_exceeded", "message": "Request too large for gpt-4o in organization org-PLANTED12345"},
])  # fmt: skip
def test_a_failure_names_no_account(error: dict[str, object]) -> None:
    """The account is masked in every field."""
    body = event("error", {"type": "error", "error": error})
    body += event("response.failed", {"type": "response.failed", "response": {"id": "resp_1", "error": error}})
    got, relay = relayed([body])
    assert isinstance(relay.fault, Fault)
    assert b"planted" not in got.lower()


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b"data: [1]\n\n", b"event: error\ndata: 1\n\n"])
def test_garbage_is_not_passed_on(garbage: bytes) -> None:
    """Garbage ends the stream."""
    got, relay = relayed([response_named("response_stream_cut").body + garbage])
    assert got == response_named("response_stream_cut").body
    assert isinstance(relay.fault, OpenAINonsense)


def test_a_last_event_without_its_blank_line_is_passed_on_unless_it_is_cut() -> None:
    """A client could not read a part of one."""
    body = response_named("response_stream_text").body
    assert relayed([body.rstrip(b"\n")])[0] == body.rstrip(b"\n") + b"\n\n"
    *begun, delta, _ = response_named("response_stream_cut").body.split(b"\n\n")
    kept = b"".join(block + b"\n\n" for block in begun)
    for cut_at in (delta.index(b"data: ") + 7, len(delta) - 1):
        got, relay = relayed([kept + delta[:cut_at]])
        assert (got, relay.is_complete) == (kept, False)
        assert isinstance(relay.fault, Fault)


def test_events_without_a_name_are_read_by_their_type() -> None:
    """Some compatible servers send such events."""
    body = b"".join(block.partition(b"\n")[2] + b"\n\n" for block in
                    response_named("response_stream_text").body.split(b"\n\n")[:-1])  # fmt: skip
    got, relay = relayed([body])
    assert (got, relay.fault) == (body, None)
    assert relay.usage


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 5000), max_size=10))
def test_every_kind_of_line_end_is_passed_on(end: bytes, places: list[int]) -> None:
    """The standard allows three."""
    body = response_named("response_stream_emoji").body.replace(b"\n", end)
    got, relay = relayed(cut(body, places))
    assert (got, relay.fault) == (body, None)


def test_a_comment_is_only_put_between_events() -> None:
    """A comment inside an event would break the event."""
    relay = ResponsesRelay()
    assert relay.silence() == PING
    relay.feed(b"event: response.output_text")
    assert relay.silence() == b""


def test_an_event_without_end_is_not_buffered_forever() -> None:
    """Memory is bounded."""
    relay = ResponsesRelay()
    relay.feed(b"data: " + b"x" * MAX_EVENT_BYTES)
    assert isinstance(relay.fault, OpenAINonsense)


@given(st.binary(max_size=300))
def test_no_bytes_cause_an_internal_error(data: bytes) -> None:
    """The result is bytes and a fault, or none."""
    assert isinstance(relayed([data, b"\n\n"])[0], bytes)
