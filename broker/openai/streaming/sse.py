"""Bytes of an OpenAI stream → server-sent events → the text that they carry. Pure, and indifferent to how
the network cut the bytes.

Event streams: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
Chunks: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai.streaming.chunk_pattern import ChunkPattern, pattern_of

# `json.loads` guesses the encoding of bytes and matches white space before it scans: half of its time for a token
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # there, and not in the types
_PROBE = "no text of any chunk"
BLANK_LINE = b"\n\n"  # what the last event may lack at the body's end
MAX_EVENT_BYTES = 4 * 1024 * 1024  # an event that goes on for longer is no event of a chat


class EventReader:
    """Cuts bytes, however they come, into the data of server-sent events."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # the pieces of an event whose end has not come
        self._size = 0  # of them, in bytes
        self._half = b""  # a \r that may be half of a \r\n

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that `data` completes. Raises `OpenAINonsense` if one never ends."""
        if not (self._rest or self._half) and _is_one_event(data):
            return [data[6:-2]]  # as nearly every read
        if self._half or b"\r" in data:
            data = self._with_plain_line_ends(data)
        if b"\n\n" not in data and not (data[:1] == b"\n" and self._rest and self._rest[-1][-1:] == b"\n"):
            self._keep(data)
            return []
        *blocks, rest = b"".join((*self._rest, data)).split(b"\n\n")
        self._rest, self._size = [], 0
        self._keep(rest)
        return [event for block in blocks if (event := data_of(block))]

    def _keep(self, data: bytes) -> None:
        """Put aside what is of an event yet to be completed; every byte is looked at once, however it is cut."""
        if not data:
            return
        self._rest.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT_BYTES + len(b"data: "):
            raise OpenAINonsense

    def _with_plain_line_ends(self, data: bytes) -> bytes:
        data = self._half + data
        self._half = b"\r" if data.endswith(b"\r") else b""
        if self._half:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _is_one_event(data: bytes) -> bool:
    """Whether this is one line of data, not empty, and the end of its event."""
    end = len(data) - 2
    return end > 6 and data.startswith(b"data: ") and data.find(b"\n") == end and data[-1] == 10 and b"\r" not in data


def data_of(block: bytes) -> bytes:
    """The data of one event, whose lines end in line feeds; b"" where it has none."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)


@dataclass
class Transcript:
    """What a stream has said of itself so far: its end, its usage, and the text of its first choice."""

    finished: bool = False
    done: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    _pattern: ChunkPattern | None = None  # of the first chunk with text, and most likely of those that follow

    def read(self, events: list[bytes]) -> str:
        """The text that these events add to the answer, '' where they add none.

        A refusal is text: it is what the model says instead. Raises `Interrupted` where one of them is
        an error (`StreamBroken`) or no chunk at all (`OpenAINonsense`).
        """
        text = ""
        for event in events:
            try:
                text += self._read(event)
            except (AttributeError, TypeError):
                raise Interrupted(text, OpenAINonsense()) from None
            except (OpenAINonsense, StreamBroken) as fault:
                raise Interrupted(text, fault) from None
        return text

    def _read(self, event: bytes) -> str:
        text = _decoded(event)
        if self._pattern and (said := self._pattern.text_of(text)) is not None:
            return said
        if event.strip() == b"[DONE]":
            self.done = True
            return ""
        chunk = _read_object(text)
        if chunk.get("error"):
            raise StreamBroken
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = usage
        said = "".join(self._read_choice(choice) for choice in chunk.get("choices") or ())
        if said and self._pattern is None and _says_only(said, chunk):
            self._learn(text, said)
        return said

    def _learn(self, text: str, said: str) -> None:
        """Take a chunk's pattern for the next ones, where it can be shown that they are read as if parsed."""
        pattern = pattern_of(text, said)
        with contextlib.suppress(OpenAINonsense):
            if pattern and _says_only(_PROBE, _read_object(pattern.filled(_PROBE))):
                self._pattern = pattern

    def _read_choice(self, choice: dict[str, Any]) -> str:
        if choice.get("index", 0) != 0:
            return ""
        self.finished = self.finished or bool(choice.get("finish_reason"))
        delta = choice.get("delta") or {}
        return (delta.get("content") or "") + (delta.get("refusal") or "")

    def check_complete(self) -> None:
        """Raises `StreamBroken` unless OpenAI said that the answer is finished: `[DONE]` alone proves nothing."""
        if not self.finished:
            raise StreamBroken


class Interrupted(Exception):
    """A read that brought `text` and then a `fault`."""

    def __init__(self, text: str, fault: OpenAINonsense | StreamBroken) -> None:
        super().__init__(fault.sentence)
        self.text = text
        self.fault = fault


def _says_only(text: str, chunk: dict[str, Any]) -> bool:
    """Whether a chunk has this text as its one choice's content, and nothing else to be learnt from it."""
    match chunk:
        case {"choices": [{"delta": {"content": content, **others}, **rest}]}:
            is_alone = content == text and not others.get("refusal")
            return is_alone and not (rest.get("index") or rest.get("finish_reason") or chunk.get("usage"))
    return False


def _decoded(event: bytes) -> str:
    try:
        return event.decode("utf-8", "surrogatepass")
    except ValueError:
        raise OpenAINonsense from None


def _read_object(text: str) -> dict[str, Any]:
    try:
        chunk, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        raise OpenAINonsense from None
    if not isinstance(chunk, dict) or text[end:].strip(" \t\n\r"):
        raise OpenAINonsense
    return chunk
