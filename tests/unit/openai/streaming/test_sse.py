"""From a stream's bytes to its text, however the network cut them."""

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


def hear(reads: list[bytes]) -> tuple[str, str, Transcript]:
    """The text of a whole stream, and how it ended."""
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
    """Read the plain way: the body as a whole, event by event."""
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
    """Cut inside a character, a line or an event: text and end stay what they are."""
    assert hear(cut(reply.body, places))[:2] == expected(reply)


@pytest.mark.parametrize("reply", STREAMS, ids=lambda reply: reply.name)
def test_a_recorded_stream_byte_by_byte(reply: RecordedReply) -> None:
    """The worst network of all."""
    assert hear([bytes([byte]) for byte in reply.body])[:2] == expected(reply)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@given(places=st.lists(st.integers(0, 1000), max_size=10))
def test_every_kind_of_line_end_is_understood(end: bytes, places: list[int]) -> None:
    """The standard allows three, and a cut may fall inside one."""
    body = (event(content="Grüße, ") + event(content="世界 🎉") + finish()).replace(b"\n", end)
    assert hear(cut(body, places))[:2] == ("Grüße, 世界 🎉", "complete")


def test_comments_fields_and_blank_lines_are_passed_over() -> None:
    """Only `data` counts, in one line or several, with or without a space."""
    body = b': ping\n\n\n\nevent: x\nid: 1\ndata:{"choices":\ndata: [{"index": 0, "delta": {"content": "a"}}]}\n\n'
    assert hear([body, finish()])[:2] == ("a", "complete")


def test_done_alone_proves_nothing() -> None:
    """Success is a finish_reason seen."""
    assert hear([event(content="a"), b"data: [DONE]\n\n"])[:2] == ("a", "openai_stream_broken")


def test_a_stream_may_end_without_done() -> None:
    """And without the blank line of its last event."""
    assert hear([event(content="a"), finish().rstrip(b"\n")])[:2] == ("a", "complete")


def test_text_before_an_error_in_the_same_read_is_not_lost() -> None:
    """What OpenAI said is said; then the error."""
    error = b'data: {"error": {"message": "x", "type": "server_error"}}\n\n'
    assert hear([event(content="a") + error + b"data: [DONE]\n\n"])[:2] == ("a", "openai_stream_broken")


@pytest.mark.parametrize(
    "garbage",
    ["{", "[]", "null", "7", '"x"', '{"choices": 7}', '{"choices": [7]}',
     '{"choices": [{"delta": {"content": 7}}]}', '{"choices": {"a": 1}}', "[" * 50_000],
)  # fmt: skip
def test_garbage_is_named_as_such(garbage: str) -> None:
    """An event that is no chunk ends the stream with a fault, not with an accident."""
    assert hear([event(content="a"), f"data: {garbage}\n\n".encode()])[:2] == ("a", "openai_answer_invalid")


def test_usage_is_kept() -> None:
    """The last usage object is the answer's."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    chunk = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
    assert hear([event(content="a"), finish(), chunk])[2].usage == usage


def test_the_second_choice_is_not_mixed_in() -> None:
    """Two choices interleaved: the first is the answer."""
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]}\n\n'
    assert hear([event(content="a"), other, event(content="b")])[:2] == ("ab", "openai_stream_broken")


def test_an_event_without_end_is_not_collected_forever() -> None:
    """Memory is bounded whatever OpenAI sends."""
    reader = EventReader()
    reader.feed(b"data: " + b"x" * MAX_EVENT_BYTES)
    with pytest.raises(OpenAINonsense):
        reader.feed(b"x")


@given(st.binary(max_size=300))
def test_no_bytes_cause_an_accident(data: bytes) -> None:
    """Whatever comes ends in text or in a fault."""
    assert isinstance(hear([data, b"\n\n"])[1], str)
