"""Reads an OpenAI stream: bytes to server-sent events, events to text. Pure. Network cuts may fall anywhere.

Event streams: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
Chunks: https://platform.openai.com/docs/api-reference/chat-streaming.
"""

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai.counting import token_estimate
from broker.openai.counting.token_usage import with_tier
from broker.openai.streaming.chunk_pattern import ChunkPattern, pattern_of
from broker.openai.streaming.event_splitter import BomFilter

# `json.loads` detects the encoding and skips white space before it scans, which is half of its time for a token
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # there, and not in the types
_SPACE = " \t\n\r"  # JSON's white space
_PROBE = "no text of any chunk"
BLANK_LINE = b"\n\n"  # ends the last event, whose own blank line may be missing
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_EVENT_BYTES = 4 * 1024 * 1024  # no chunk of a chat completion is longer


class EventReader:
    """Splits a stream's bytes into the data of server-sent events."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # pieces of the incomplete last event
        self._size = 0  # of those pieces, in bytes
        self._half = b""  # a \r that may be the first half of a \r\n
        self._bom = BomFilter()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of every event that `data` completes. Raises `OpenAINonsense` for an endless event."""
        if not self._bom.is_done:
            data = self._bom.feed(data)
        if not (self._rest or self._half) and _is_one_event(data):
            return [data[6:-2]]  # nearly every read
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
        """Keep a piece of an incomplete event. Each byte is scanned once, however small the pieces."""
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
    """Return whether `data` is exactly one event of one non-empty data line."""
    end = len(data) - 2
    return end > 6 and data.startswith(b"data: ") and data.find(b"\n") == end and data[-1] == 10 and b"\r" not in data


def data_of(block: bytes) -> bytes:
    """Return the data of one event, whose lines end in line feeds; b"" if it has none."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)


@dataclass
class Transcript:
    """The state of a stream: its text so far is returned by `read`, its end and usage are kept here."""

    finished: bool = False
    done: bool = False
    usage: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    text_bytes: int = 0  # of the first choice, in UTF-8
    _half: str = ""  # the first half of a surrogate pair, at the end of a chunk's text
    _pattern: ChunkPattern | None = None  # of the first chunk with text; the following chunks nearly always match

    def read(self, events: list[bytes]) -> str:
        """Return the text that these events add to the first choice, '' if none.

        A refusal counts as text. Raises `Interrupted` for an error event (`StreamBroken`) and for an event that is
        no chunk (`OpenAINonsense`).
        """
        text = ""
        for event in events:
            try:
                found = self._read(event)
            except (AttributeError, TypeError):
                raise Interrupted(text, OpenAINonsense()) from None
            except (OpenAINonsense, StreamBroken) as fault:
                raise Interrupted(text, fault) from None
            self.events += 1
            self.text_bytes += token_estimate.text_size(found)
            text += found
        return self._joined(text) if self._half or _SURROGATE.search(text) else text

    def _joined(self, text: str) -> str:
        """Join surrogate pairs that came in two chunks. A first half at the end waits for the second one."""
        text = (self._half + text).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        waits = not self.finished and "\ud800" <= text[-1:] <= "\udbff"
        text, self._half = (text[:-1], text[-1:]) if waits else (text, "")
        return text

    @property
    def delivered_tokens(self) -> int:
        """The estimated tokens read so far, for an answer that breaks off before OpenAI sends its usage."""
        return token_estimate.output_tokens(self.text_bytes, self.events)

    def _read(self, event: bytes) -> str:
        text = _decoded(event)
        if self._pattern and (found := self._pattern.text_of(text)) is not None:
            return found
        if event.strip() == b"[DONE]":
            self.done = True
            return ""
        chunk = _read_object(text)
        if chunk.get("error"):
            raise StreamBroken
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = with_tier(usage, chunk)
        found = "".join(self._read_choice(choice) for choice in chunk.get("choices") or ())
        if found and self._pattern is None and _has_only(found, chunk):
            self._learn(text, found)
        return found

    def _learn(self, text: str, found: str) -> None:
        """Keep a chunk's pattern for the next ones, after checking that it reads a probe as the parser does."""
        pattern = pattern_of(text, found)
        with contextlib.suppress(OpenAINonsense):
            if pattern and _has_only(_PROBE, _read_object(pattern.filled(_PROBE))):
                self._pattern = pattern

    def _read_choice(self, choice: dict[str, Any]) -> str:
        index = choice.get("index") or 0  # some servers send null
        if type(index) is not int or (choice.get("message") and not choice.get("delta")):
            raise OpenAINonsense  # its text would be lost
        if index != 0:
            return ""
        self.finished = self.finished or bool(choice.get("finish_reason"))
        delta = choice.get("delta") or {}
        return (delta.get("content") or "") + (delta.get("refusal") or "")

    def check_complete(self) -> None:
        """Raise `StreamBroken` unless a `finish_reason` was seen; OpenAI sends `[DONE]` after errors, too."""
        if not self.finished:
            raise StreamBroken


class Interrupted(Exception):
    """A read with `text` followed by a `fault`."""

    def __init__(self, text: str, fault: OpenAINonsense | StreamBroken) -> None:
        super().__init__(fault.sentence)
        self.text = text
        self.fault = fault


def _has_only(text: str, chunk: dict[str, Any]) -> bool:
    """Return whether a chunk consists of one choice with this content and carries no other information."""
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
    text = text.strip(_SPACE)  # after "data:" come any spaces, and empty data lines
    try:
        chunk, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        raise OpenAINonsense from None
    if not isinstance(chunk, dict) or end != len(text):
        raise OpenAINonsense
    return chunk
