"""Chunks that are read without parsing give the same result as parsed ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.openai.streaming.chunk_pattern import ChunkPattern, pattern_of
from broker.openai.streaming.sse import EventReader, Interrupted, Transcript
from tests.recorded import RecordedReply, streams

TEXTS = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too


def chunk(text: str, padding: str | None = None, **more: Any) -> str:
    """A chunk as OpenAI writes it."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    content = {"id": "chatcmpl-1", "choices": [choice], "usage": None, **more}
    if padding is not None:
        content["obfuscation"] = padding
    return json.dumps(content, separators=(",", ":"))


def pattern(padding: str | None = None) -> ChunkPattern:
    """The pattern of a first chunk."""
    found = pattern_of(chunk("a", padding), "a")
    assert found is not None
    return found


class Plain(Transcript):
    """A transcript that parses every chunk."""

    def _learn(self, text: str, found: str) -> None:
        """Do nothing."""


def results_of(transcript: Transcript, events: list[bytes]) -> list[object]:
    """Return the text of each event up to the first fault, and the state after it."""
    said: list[object] = []
    for event in events:
        try:
            said.append(transcript.read([event]))
        except Interrupted as interrupted:
            return [*said, interrupted.text, interrupted.fault.code]
    return [*said, transcript.finished, transcript.done, transcript.usage]


@given(text=TEXTS)
@pytest.mark.parametrize("paddings", [(None, None), ("xY1", ""), ("", "aB3dEfG")])
def test_a_chunk_that_differs_in_its_text_alone_is_read(text: str, paddings: tuple[str | None, str | None]) -> None:
    """Any text and any padding is read."""
    assert pattern(paddings[0]).text_of(chunk(text, paddings[1])) == json.loads(json.dumps(text))


@pytest.mark.parametrize(
    "other",
    [
        chunk("b", "x", usage={"total_tokens": 3}),
        chunk("b", "x", id="chatcmpl-2"),
        chunk("b", 'x"'),
        chunk("b", "x\\"),
        chunk("b", "x") + " {}",
        chunk("b", "x")[:-1],
        chunk("b"),
        chunk("b", "").replace('""}', '"}'),
        chunk("b", "x").replace('"finish_reason":null', '"finish_reason":"stop"'),
        chunk("b", "x").replace('"content":"b"', '"content":"b\n"'),
        chunk("b", "x").replace('"content":"b"', '"content":"b'),
        chunk("b", "x").replace('"content":"b"', '"content":null'),
        chunk("b", "x").replace('"content":"b"', '"content":"b","refusal":"c"'),
        "[DONE]",
        "",
    ],
)
def test_any_other_is_left_to_be_parsed(other: str) -> None:
    """A chunk with any other difference does not match the pattern."""
    assert pattern("x").text_of(other) is None


@pytest.mark.parametrize(
    "misleading",
    [
        '{"choices":[{"delta":{"content":"a"}}],"more":{"content":"a"}}',
        '{"choices":[{"delta":{"content":"b"}}]}',
        '{"choices":[{"delta":{"content": "a"}}]}',
    ],
)
def test_no_pattern_is_made_if_the_place_of_the_text_is_unclear(misleading: str) -> None:
    """The text appears twice, differs, or is formatted otherwise."""
    assert pattern_of(misleading, "a") is None


@pytest.mark.parametrize(
    "first",
    [
        '{"content":"a","choices":[{"delta":{"content": "a"}}]}',
        '{"choices":[{"delta":{"content": "x", "conten\\u0074":"a"}}],"content":"a"}',
        '{"choices":[{"delta":{"content":"a"}}],"usage":{"total_tokens":1}}',
        '{"choices":[{"delta":{"content":"a","refusal":"b"}}]}',
        '{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}',
        '{"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{}}]}',
        '{"choices":[{"delta":{"content":"a"}}],"obfuscation":"x\\"y"}',
        '{"choices":[{"delta":{"content":"a"}}],"obfuscation":"x","obfuscation":"y"}',
    ],
)
def test_a_misleading_first_chunk_changes_nothing(first: str) -> None:
    """The following chunks are read as if parsed."""
    events = [first.encode(), first.replace('"a"', '"c"', 1).encode(), first.replace('"a"', '"d"').encode()]
    assert results_of(Transcript(), events) == results_of(Plain(), events)


@pytest.mark.parametrize("reply", streams(), ids=lambda reply: reply.name)
def test_recorded_streams_are_read_as_if_parsed(reply: RecordedReply) -> None:
    """Text, end, usage and faults are equal for each event."""
    events = EventReader().feed(reply.body)
    assert results_of(Transcript(), events) == results_of(Plain(), events)


@given(texts=st.lists(TEXTS, max_size=5), cut=st.integers(0, 200), junk=st.binary(max_size=3))
def test_a_broken_chunk_is_as_broken_as_if_parsed(texts: list[str], cut: int, junk: bytes) -> None:
    """Chunks with missing or extra bytes give the same fault as the parser."""
    events = [chunk(text, "x").encode("utf-8", "surrogatepass") for text in ["a", *texts, "z"]]
    events[-1] = events[-1][:cut] + junk + events[-1][cut + len(junk) :]
    assert results_of(Transcript(), events) == results_of(Plain(), events)


def test_nearly_every_chunk_of_a_long_stream_has_a_pattern() -> None:
    """The fast path is taken."""
    transcript, parsed = Transcript(), []

    def learn_and_note(text: str, found: str) -> None:
        parsed.append(found)
        Transcript._learn(transcript, text, found)

    transcript._learn = learn_and_note  # type: ignore[method-assign]
    said = [transcript.read([chunk(text, "xyz").encode()]) for text in ["one", "two", "three", "four", "five"]]
    assert said == ["one", "two", "three", "four", "five"]
    assert parsed == ["one"]
