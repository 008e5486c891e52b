"""Passes a stream of the Responses API on to the client, and reads it on the way. Pure.

https://platform.openai.com/docs/api-reference/responses-streaming. Whole events are passed on unchanged, except an
`error` event and `response.failed`, whose sentences may name the operator's account. Delta events are not parsed. The
stream has no `[DONE]`; it ends with `response.completed`, `response.incomplete` or `response.failed`, each of which may
carry the usage.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from broker.errors import last_lines
from broker.errors.base import Fault
from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai import response_objects
from broker.openai.counting import token_estimate
from broker.openai.streaming.event_splitter import PING, EventSplitter, split
from broker.openai.streaming.sse import data_of

MAX_EVENT_BYTES = 16 * 1024 * 1024  # the last event repeats the output, the instructions and the tools
_PLAIN_END = re.compile(rb"\r\n?")
_NAME = re.compile(rb"^event: ?([a-z_.]+)$", re.MULTILINE)
_BEFORE_ANSWER = frozenset({"response.created", "response.queued", "response.in_progress"})


class ResponsesRelay:
    """One stream. `feed` returns the bytes for the client; stop when `fault` is set."""

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._failure: Fault | None = None  # the stream's own: its events have been passed on
        self._is_cut = False  # whether the event that is read now may be incomplete
        self._seen: set[str] = set()
        self._new_ids: list[str] = []
        self._readers: dict[str, Callable[[dict[str, Any]], bytes | None]] = {
            **dict.fromkeys(_BEFORE_ANSWER, self._read_response),
            "response.output_item.added": self._read_item,
            "response.output_item.done": self._read_item,
            "response.completed": self._read_end,
            "response.incomplete": self._read_end,
            "response.failed": self._read_failed,
            "error": self._read_error,
        }
        self._deltas = self._delta_bytes = 0
        self.response_id = ""  # empty before it has come
        self.events = 0  # passed on so far: the next `sequence_number`
        self.usage: dict[str, Any] = {}
        self.begun = False  # whether a part of the answer itself has come
        self.is_over = False  # whether OpenAI has ended the answer
        self.is_charged = False  # whether the last event itself, which carries the usage, has come
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes, unchanged except failures."""
        whole = self._splitter.take_whole(data)
        passed = []
        for event in split(whole):
            if self.fault:
                break
            passed.append(self._pass_on(event))
        if self._splitter.size > MAX_EVENT_BYTES:
            self.fault = OpenAINonsense()
        return b"".join(passed)

    def finish(self) -> bytes:
        """Return the rest at the end of the body. Sets `fault` if the answer failed or did not end.

        The last event may lack its blank line. It may also be cut, and is then left out.
        """
        self._is_cut = self._splitter.has_partial_event
        last = self.feed(b"\n\n") if self._splitter.has_partial_event else self._splitter.rest
        if not self.fault and (self._failure or not self.is_over):
            self.fault = self._failure or StreamBroken()
        return last

    def silence(self) -> bytes:
        """Return a comment to send while OpenAI is silent, or b"" in the middle of an event."""
        return b"" if self._splitter.rest else PING

    @property
    def is_open(self) -> bool:
        """Whether the client has something to show."""
        return self.begun

    @property
    def is_complete(self) -> bool:
        """Whether the client has the whole answer, or OpenAI's own failure."""
        return self.is_over

    def take_ids(self) -> tuple[str, list[str]] | None:
        """Return the response's id and all ids that are new since the last call; None if there are none."""
        if not self._new_ids or not self.response_id:
            return None
        ids, self._new_ids = self._new_ids, []
        return self.response_id, ids

    @property
    def delivered_tokens(self) -> int:
        """The estimated tokens passed on so far, for an answer that ends without usage."""
        return token_estimate.output_tokens(self._delta_bytes, self._deltas)

    def last_event(self, fault: Fault) -> bytes:
        """Return the event that reports `fault` to the client; b"" if OpenAI's own failure event already did."""
        return b"" if fault is self._failure else last_lines.responses_event(fault, self.events, fault.code)

    def _pass_on(self, event: bytes) -> bytes:
        data = data_of(event.rstrip(b"\n") if b"\r" not in event else _PLAIN_END.sub(b"\n", event))
        if not data:
            return event  # a comment or an empty event
        try:
            changed = self._read(_name_of(event, data), data)
        except OpenAINonsense as fault:
            self.fault = fault
            return b""
        self.events += 1
        return event if changed is None else changed

    def _read(self, name: str, data: bytes) -> bytes | None:
        """Read an event; return its replacement, or None to pass it on unchanged."""
        if name.endswith(".delta"):
            self._deltas += 1
            self._delta_bytes += response_objects.written_bytes(data)
        if self._is_cut:
            _object(data)
        reader = self._readers.get(name)
        replacement = reader(_object(data)) if reader else None
        if name.startswith("response.") and name not in _BEFORE_ANSWER and not self._failure:
            self.begun = True
        return replacement

    def _read_response(self, event: dict[str, Any]) -> None:
        response = _member(event, "response")
        self.response_id = self.response_id or next(response_objects.output_ids([response]), "")
        self._note_ids([response, *_list(response, "output")])

    def _read_item(self, event: dict[str, Any]) -> None:
        self._note_ids([event.get("item")])

    def _note_ids(self, holders: list[object]) -> None:
        new = [one for one in response_objects.output_ids(holders) if one not in self._seen]
        self._seen.update(new)
        self._new_ids += new

    def _read_end(self, event: dict[str, Any]) -> None:
        self._read_response(event)
        self.usage = response_objects.usage_of(_member(event, "response")) or self.usage
        self.is_over = self.is_charged = True

    def _read_failed(self, event: dict[str, Any]) -> bytes:
        self._read_end(event)
        response = _member(event, "response")
        error = _member(response, "error")
        self._failure = self._failure or response_objects.fault_of(error)
        public = {"code": response_objects.code_of(error, self._failure), "message": self._failure.sentence}
        return last_lines.event("response.failed", event | {"response": response | {"error": public}})

    def _read_error(self, event: dict[str, Any]) -> bytes:
        error = _member(event, "error") or {name: event.get(name) for name in ("code", "message", "param")}
        self._failure = response_objects.fault_of(error)
        self.is_over = True  # `response.failed` may follow
        number = event.get("sequence_number")
        number = number if isinstance(number, int) else self.events
        return last_lines.responses_event(self._failure, number, response_objects.code_of(error, self._failure))


def _name_of(event: bytes, data: bytes) -> str:
    """Return the event's type: its name, or the `type` in its data for a server that sends no names."""
    if found := _NAME.search(event.replace(b"\r", b"\n")):
        return found[1].decode()
    kind = _object(data).get("type")
    return kind if isinstance(kind, str) else ""


def _member(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _list(holder: dict[str, Any], name: str) -> list[object]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise OpenAINonsense from None
    if not isinstance(content, dict):
        raise OpenAINonsense
    return content
