"""The client gets OpenAI's events unchanged, except for two kinds, wherever the network cuts them."""

import codecs
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.openai.streaming.chat_relay import Relay
from broker.openai.streaming.event_splitter import PING
from broker.openai.streaming.sse import MAX_EVENT_BYTES
from tests.recorded import RecordedReply, streams
from tests.unit.openai.streaming.test_sse import ODD, cut, event, finish

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def relayed(reads: list[bytes], *, with_usage: bool = False) -> tuple[bytes, Relay]:
    """Return the client's bytes and the relay."""
    relay, got = Relay(with_usage=with_usage), b""
    for data in reads:
        got += relay.feed(data)
        if relay.fault:
            return got, relay
    return got + relay.finish(), relay


def for_client(body: bytes, *, with_usage: bool) -> bytes:
    """A simple reference implementation: the whole body, event by event, up to an error."""
    kept = b""
    for block in body.removesuffix(b"\n\n").split(b"\n\n"):
        chunk = {} if b"[DONE]" in block else json.loads(block.removeprefix(b"data: "))
        if chunk.get("error"):
            break
        if with_usage or not (chunk.get("usage") and not chunk["choices"]):
            kept += block + b"\n\n"
    return kept


@pytest.mark.parametrize("with_usage", [True, False])
@pytest.mark.parametrize("reply", streams(), ids=lambda reply: reply.name)
@settings(max_examples=40)
@given(places=st.lists(st.integers(0, 200_000), max_size=30))
def test_any_split_of_a_recorded_stream_is_passed_on_as_it_is(
    reply: RecordedReply, places: list[int], *, with_usage: bool
) -> None:
    """Only an error and an unrequested usage chunk are held back."""
    got, relay = relayed(cut(reply.body, places), with_usage=with_usage)
    assert got == for_client(reply.body, with_usage=with_usage)
    assert bool(relay.fault) is not relay.transcript.finished


def test_a_read_of_whole_events_is_passed_on_in_one_piece() -> None:
    """Several events leave in one piece; a partial event waits for its rest."""
    relay, body = Relay(with_usage=False), event(content="a") + event(content="b")
    assert relay.feed(body) == body
    assert relay.feed(body + b"data: {") == body
    assert relay.feed(event(content="c").removeprefix(b"data: {")) == event(content="c")


def test_usage_is_read_even_if_the_client_did_not_ask() -> None:
    """The client sees the usage chunk only if it asked."""
    body = event(content="a") + finish() + USAGE + DONE
    with_it, asked = relayed([body], with_usage=True)
    without, other = relayed([body], with_usage=False)
    assert (with_it, without) == (body, body.replace(USAGE, b""))
    assert asked.transcript.usage == other.transcript.usage == {"prompt_tokens": 3, "completion_tokens": 2}


def test_usage_within_a_chunk_of_the_answer_is_left_there() -> None:
    """Some servers add the usage to the last chunk, which the client needs."""
    last = finish().replace(b"{", b'{"usage": {"prompt_tokens": 3}, ', 1)
    assert relayed([last + DONE])[0] == last + DONE


@pytest.mark.parametrize(
    ("delta", "begun"),
    [({"role": "assistant", "content": ""}, False), ({"role": "assistant", "content": None, "refusal": ""}, False),
     ({"content": "a"}, True), ({"refusal": "a"}, True), ({"tool_calls": [{"index": 0, "id": "call_1"}]}, True),
     ({"function_call": {"name": "f", "arguments": ""}}, True)],
)  # fmt: skip
def test_an_answer_begins_with_its_first_text_or_call(delta: dict[str, Any], begun: bool) -> None:
    """A role chunk does not begin it."""
    relay = Relay(with_usage=False)
    relay.feed(event(**delta))
    assert relay.begun is begun
    relay.feed(finish())
    assert relay.begun


def error(**members: object) -> bytes:
    return b"data: " + json.dumps({"error": members}).encode() + b"\n\n"


def sentence_and_code(relay: Relay) -> tuple[str, object]:
    assert relay.fault
    return relay.fault.sentence, relay.fault.details.get("openai")


def test_an_error_ends_the_stream_in_openais_words() -> None:
    """Events before the error are passed on; nothing after it is, not even `[DONE]`."""
    broken = error(message="The model produced invalid content.", type="model_error", param=None, code="oh_no")
    got, relay = relayed([event(content="a") + broken + DONE])
    assert got == event(content="a")
    assert sentence_and_code(relay) == ("The model produced invalid content.", {"type": "model_error", "code": "oh_no"})


@pytest.mark.parametrize(
    "members",
    [{"message": "Rate limit in organization org-PLANTED12345", "type": "requests", "code": "rate_limit_exceeded"},
     {"message": "Incorrect API key: dummy-pl**nted", "type": "invalid_request_error", "param": "dummy-pl"},
     {"message": "key sk-planted123456", "type": "server_error", "code": "sk-planted123456"},
     {"message": ["planted"], "type": "server_error"}, {"type": {"planted": 1}, "code": 7}],
)  # fmt: skip
def test_an_error_names_no_account(members: dict[str, object]) -> None:
    """Only plain words of the error are passed on."""
    _, relay = relayed([error(**members)])
    assert "planted" not in str(sentence_and_code(relay)).lower()
    assert "dummy" not in str(sentence_and_code(relay))


@pytest.mark.parametrize("content", ["org-PLANTED12345", 7, ["planted"]])
def test_an_error_in_no_known_form_is_an_error_too(content: object) -> None:
    """SDKs raise on any truthy `error`."""
    _, relay = relayed([b"data: " + json.dumps({"error": content}).encode() + b"\n\n"])
    assert sentence_and_code(relay) == ("OpenAI broke off its answer; try again later", None)


def test_an_error_in_two_reads_is_held_back_too() -> None:
    """A partial event is never passed on."""
    relay, body = Relay(with_usage=True), error(message="in organization org-PLANTED12345", type="requests")
    got = b"".join(relay.feed(bytes([byte])) for byte in body)
    assert (got, bool(relay.fault)) == (b"", True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 1000), max_size=10))
def test_every_kind_of_line_end_is_passed_on(end: bytes, places: list[int]) -> None:
    """The standard allows three, and a cut may fall inside one."""
    body = (event(content="Grüße, 世界 🎉") + finish() + USAGE + DONE).replace(b"\n", end)
    got, relay = relayed(cut(body, places), with_usage=True)
    assert (got, relay.fault) == (body, None)
    assert relay.transcript.usage


def test_a_line_end_that_comes_by_itself_at_the_end_is_passed_on() -> None:
    """The event before it is complete."""
    body = (event(content="a") + finish()).replace(b"\n", b"\r\n")
    assert relayed([body[:-1], body[-1:]])[0] == body


def test_a_last_event_may_lack_its_blank_line() -> None:
    """One is added, so that SDKs read the event."""
    assert relayed([event(content="a"), finish().rstrip(b"\n")])[0] == event(content="a") + finish()


@pytest.mark.parametrize(
    ("body", "with_usage", "whole"),
    [(event(content="a"), False, False), (event(content="a") + DONE, False, False),
     (event(content="a") + finish(), False, True), (event(content="a") + finish(), True, False),
     (event(content="a") + finish() + USAGE, True, True), (event(content="a") + finish() + DONE, True, True)],
)  # fmt: skip
def test_a_stream_is_whole_when_all_that_was_asked_for_has_come(body: bytes, with_usage: bool, whole: bool) -> None:
    """A `finish_reason` is needed, and the usage if the client asked for it."""
    relay = Relay(with_usage=with_usage)
    relay.feed(body)
    assert relay.is_complete is whole


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
@given(places=st.lists(st.integers(0, 1000), max_size=10))
def test_odd_bytes_that_the_standard_allows_are_passed_on(body: bytes, places: list[int]) -> None:
    """The bytes are unchanged except for a byte order mark; the broker reads the same text."""
    got, relay = relayed(cut(body, places), with_usage=True)
    assert got == body.removeprefix(codecs.BOM_UTF8)
    assert (relay.fault, relay.transcript.finished) == (None, True)


@pytest.mark.parametrize(
    ("delta", "is_open"),
    [({"role": "assistant", "content": ""}, False), ({"content": "", "reasoning_content": None}, False),
     ({"content": "", "reasoning_content": ""}, False), ({"reasoning_content": "thinking"}, True),
     ({"reasoning": "thinking"}, True), ({"content": "a"}, True)],
)  # fmt: skip
def test_reasoning_opens_the_response(delta: dict[str, Any], is_open: bool) -> None:
    """The client shows reasoning as it arrives. It is no answer yet, so the call does not count."""
    relay = Relay(with_usage=False)
    relay.feed(event(**delta))
    assert relay.is_open is is_open
    assert relay.begun is bool(delta.get("content"))


def test_an_end_before_the_answers_own_is_a_fault() -> None:
    """An early end is a fault even if the body ends properly."""
    assert relayed([event(content="a") + finish()], with_usage=True)[1].fault is None
    for body in (event(content="a"), event(content="a") + DONE, DONE, b""):
        _, relay = relayed([body])
        assert relay.fault
        assert relay.fault.code == "openai_stream_broken"


def test_a_comment_is_only_put_between_events() -> None:
    """Inside an event it would break the event."""
    relay = Relay(with_usage=False)
    assert relay.silence() == PING
    relay.feed(b"data: {")
    assert relay.silence() == b""


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b"data: [1]\n\n", b"data: " + b"[" * 50_000 + b"\n\n"])
def test_garbage_is_not_passed_on(garbage: bytes) -> None:
    """Garbage ends the stream."""
    got, relay = relayed([event(content="a") + garbage])
    assert got == event(content="a")
    assert relay.fault
    assert relay.fault.code == "openai_answer_invalid"


def test_an_event_without_end_is_not_collected_forever() -> None:
    """Memory is bounded for any input."""
    relay = Relay(with_usage=False)
    relay.feed(b"data: " + b"x" * MAX_EVENT_BYTES)
    assert relay.fault
    assert relay.fault.code == "openai_answer_invalid"


def test_a_long_event_in_small_pieces_costs_no_more() -> None:
    """Each byte is scanned once."""
    relay, body = Relay(with_usage=False), event(content="x" * 2_000_000)
    started = time.process_time()
    got = b"".join(relay.feed(body[at : at + 100]) for at in range(0, len(body), 100))
    assert got == body
    assert time.process_time() - started < 2


@given(st.binary(max_size=300))
def test_no_bytes_cause_an_internal_error_of_the_relay(data: bytes) -> None:
    """Any bytes give output, a fault or both."""
    assert isinstance(relayed([data, b"\n\n"])[0], bytes)
