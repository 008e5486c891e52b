"""Reading a stream's bytes as text, wherever the network cuts them."""

import codecs
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai.streaming.sse import BLANK_LINE, MAX_EVENT_BYTES, EventReader, Interrupted, Transcript
from tests.recorded import RecordedReply, streams

STREAMS = streams()


def event(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}, ensure_ascii=False).encode() + b"\n\n"


def finish(reason: str = "stop") -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def read_stream(reads: list[bytes]) -> tuple[str, str, Transcript]:
    """Return the text of a whole stream, and its fault."""
    reader, transcript, text = EventReader(), Transcript(), ""
    try:
        for data in reads:
            text += transcript.read(reader.feed(data))
        text += transcript.read(reader.feed(BLANK_LINE))
        transcript.check_complete()
    except Interrupted as interrupted:
        return text + interrupted.text, interrupted.fault.code, transcript
    except (OpenAINonsense, StreamBroken) as fault:
        return text, fault.code, transcript
    return text, "complete", transcript


def expected(reply: RecordedReply) -> tuple[str, str]:
    """A simple reference implementation: the whole body, event by event."""
    text, end, finished = "", "", False
    for block in reply.body.decode().split("\n\n"):
        if not block.startswith("data: ") or block == "data: [DONE]":
            continue
        chunk = json.loads(block.removeprefix("data: "))
        if chunk.get("error"):
            return text, "openai_stream_broken"
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                text += (choice["delta"].get("content") or "") + (choice["delta"].get("refusal") or "")
                finished = finished or bool(choice["finish_reason"])
    end = "complete" if finished else "openai_stream_broken"
    return text, end


@pytest.mark.parametrize("reply", STREAMS, ids=lambda reply: reply.name)
@given(places=st.lists(st.integers(0, 200_000), max_size=30))
def test_any_split_of_a_recorded_stream_gives_the_same(reply: RecordedReply, places: list[int]) -> None:
    """Cuts inside a character, a line or an event change nothing."""
    assert read_stream(cut(reply.body, places))[:2] == expected(reply)


@pytest.mark.parametrize("reply", STREAMS, ids=lambda reply: reply.name)
def test_a_recorded_stream_byte_by_byte(reply: RecordedReply) -> None:
    """A stream of one-byte reads gives the same text."""
    assert read_stream([bytes([byte]) for byte in reply.body])[:2] == expected(reply)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 1000), max_size=10))
def test_every_kind_of_line_end_is_understood(end: bytes, places: list[int]) -> None:
    """The standard allows three, and a cut may fall inside one."""
    body = (event(content="Grüße, ") + event(content="世界 🎉") + finish()).replace(b"\n", end)
    assert read_stream(cut(body, places))[:2] == ("Grüße, 世界 🎉", "complete")


def test_comments_fields_and_blank_lines_are_passed_over() -> None:
    """Only `data` counts, in one line or several, with or without a space."""
    body = b': ping\n\n\n\nevent: x\nid: 1\ndata:{"choices":\ndata: [{"index": 0, "delta": {"content": "a"}}]}\n\n'
    assert read_stream([body, finish()])[:2] == ("a", "complete")


WORDS = (
    event(role="assistant", content="")
    + event(content="Hi 🧩")
    + event(content=" there")
    + finish()
    + b"data: [DONE]\n\n"
)
HALVES = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi \\ud83e"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"\\udde9 there"}}]}\n\n'
)
ODD = {
    "two spaces": WORDS.replace(b"data: ", b"data:  "),
    "a tab": WORDS.replace(b"data: ", b"data:\t"),
    "no space": WORDS.replace(b"data: ", b"data:"),
    "an empty line of data first": WORDS.replace(b"data: ", b"data:\ndata: "),
    "an empty line of data last": WORDS.replace(b"\n\n", b"\ndata\n\n"),
    "null for the index": WORDS.replace(b'"index": 0', b'"index": null'),
    "a byte order mark": codecs.BOM_UTF8 + WORDS,
    "halves of a surrogate pair": HALVES + finish(),
    "comments": b": ka\n\n" + WORDS.replace(b"\n\n", b"\n\n: ka\n\n"),
    "a ping event": b'event: ping\ndata: {"type": "ping"}\n\n' + WORDS,
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
@given(places=st.lists(st.integers(0, 1000), max_size=10))
def test_odd_bytes_that_the_standard_allows_are_read(body: bytes, places: list[int]) -> None:
    """Real servers send them; no text is lost, however the network cuts it."""
    assert read_stream(cut(body, places))[:2] == ("Hi 🧩 there", "complete")


def test_a_character_in_two_chunks_comes_in_one_piece() -> None:
    """Half a character that stays alone is not lost."""
    transcript, reader = Transcript(), EventReader()
    pieces = [transcript.read([data]) for data in reader.feed(HALVES)]
    assert pieces == ["Hi ", "🧩 there"]
    half = HALVES.partition(b"\n\n")[0] + b"\n\n"
    assert read_stream([half, finish()])[:2] == ("Hi \ud83e", "complete")


@pytest.mark.parametrize(
    "choice",
    [b'{"index": "0", "delta": {"content": "lost"}}', b'{"index": true, "delta": {"content": "lost"}}',
     b'{"index": 0, "message": {"content": "lost"}}'],
)  # fmt: skip
def test_lost_text_is_never_a_success(choice: bytes) -> None:
    """Text in a form that is not read ends the stream with a fault."""
    assert read_stream([b'data: {"choices": [%s]}\n\n' % choice + finish()])[1] == "openai_answer_invalid"


def test_done_alone_proves_nothing() -> None:
    """Only a finish_reason proves success."""
    assert read_stream([event(content="a"), b"data: [DONE]\n\n"])[:2] == ("a", "openai_stream_broken")


def test_a_stream_may_end_without_done() -> None:
    """The blank line of its last event may be missing as well."""
    assert read_stream([event(content="a"), finish().rstrip(b"\n")])[:2] == ("a", "complete")


def test_text_before_an_error_in_the_same_read_is_not_lost() -> None:
    """The text is delivered before the error."""
    error = b'data: {"error": {"message": "x", "type": "server_error"}}\n\n'
    assert read_stream([event(content="a") + error + b"data: [DONE]\n\n"])[:2] == ("a", "openai_stream_broken")


@pytest.mark.parametrize(
    "garbage",
    ["{", "[]", "null", "7", '"x"', '{"choices": 7}', '{"choices": [7]}',
     '{"choices": [{"delta": {"content": 7}}]}', '{"choices": {"a": 1}}', "[" * 50_000],
)  # fmt: skip
def test_garbage_is_named_as_such(garbage: str) -> None:
    """An event that is no chunk ends the stream with a fault, not with an internal error."""
    assert read_stream([event(content="a"), f"data: {garbage}\n\n".encode()])[:2] == ("a", "openai_answer_invalid")


def test_usage_is_kept() -> None:
    """The last usage object is the answer's, with the tier on which OpenAI served it."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    for tier in ({}, {"service_tier": "priority"}):
        chunk = b"data: " + json.dumps({"choices": [], "usage": usage, **tier}).encode() + b"\n\n"
        assert read_stream([event(content="a"), finish(), chunk])[2].usage == usage | tier


def test_the_second_choice_is_not_mixed_in() -> None:
    """Of two interleaved choices, the first is the answer."""
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}\n\n'
    assert read_stream([event(content="a"), other, event(content="b")])[:2] == ("ab", "openai_stream_broken")


def test_an_event_without_end_is_not_collected_forever() -> None:
    """Memory is bounded for any input."""
    reader = EventReader()
    reader.feed(b"data: " + b"x" * MAX_EVENT_BYTES)
    with pytest.raises(OpenAINonsense):
        reader.feed(b"x")


@given(st.binary(max_size=300))
def test_no_bytes_cause_an_internal_error_of_the_reader(data: bytes) -> None:
    """Any bytes give text or a fault."""
    assert isinstance(read_stream([data, b"\n\n"])[1], str)
