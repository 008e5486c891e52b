"""Passes OpenAI's chat completion stream on to the client, and reads it on the way. Pure.

Whole events are passed on unchanged, all those that a read completes in one piece. Two kinds are held back: a usage
chunk that the client did not ask for, and an error event, which may name the operator's account.
"""

import json
import re
from typing import Any

from broker.errors import last_lines
from broker.errors.base import Fault
from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai.replies import without_account
from broker.openai.streaming.event_splitter import PING, EventSplitter, split
from broker.openai.streaming.sse import MAX_EVENT_BYTES, Interrupted, Transcript, data_of

_PLAIN_END = re.compile(rb"\r\n?")
_CALL = re.compile(rb'"(?:tool_calls|function_call)"')  # an answer without text
_REASONING = re.compile(rb'"reasoning(?:_content|_details)?"\s*:\s*+(?!null|""|\[\s*\]|\{)')
_PUBLIC_TYPES = ("server_error", "model_error")  # error types whose message names no account
_WORD = re.compile(r"[a-z_]{1,64}")


class Relay:
    """One stream. `feed` returns the bytes for the client; stop when `fault` is set."""

    def __init__(self, *, with_usage: bool) -> None:
        """`with_usage`: the client asked for the usage."""
        self._with_usage = with_usage
        self._splitter = EventSplitter()
        self.transcript = Transcript()
        self.begun = False  # whether a part of the answer itself has come
        self.is_open = False  # whether the client has something to show: a part of the answer, or reasoning
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes, unchanged, without those that are held back."""
        whole = self._splitter.take_whole(data)
        if self._splitter.size > MAX_EVENT_BYTES:
            self.fault = OpenAINonsense()
        events, kept = split(whole), []
        for event in events:
            if self._is_for_client(event):
                kept.append(event)
            if self.fault:
                break
        return whole if len(kept) == len(events) else b"".join(kept)

    def finish(self) -> bytes:
        """Return the rest at the end of the body. Sets `fault` if the answer was not finished."""
        last = self.feed(b"\n\n") if self._splitter.has_partial_event else self._splitter.rest
        if not self.transcript.finished:
            self.fault = self.fault or StreamBroken()
        return last

    def silence(self) -> bytes:
        """Return a comment to send while OpenAI is silent, or b"" in the middle of an event."""
        return b"" if self._splitter.rest else PING

    @property
    def is_over(self) -> bool:
        """Whether `[DONE]` has come."""
        return self.transcript.done

    @property
    def is_complete(self) -> bool:
        """Whether the client has the whole answer, including the usage if it asked for it."""
        read = self.transcript
        return read.finished and bool(read.done or read.usage or not self._with_usage)

    @property
    def is_charged(self) -> bool:
        """Whether nothing that follows changes the usage."""
        return self.transcript.done

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object, {} before it has come."""
        return self.transcript.usage

    @property
    def delivered_tokens(self) -> int:
        """The estimated tokens passed on so far, for an answer that ends without usage."""
        return self.transcript.delivered_tokens

    def last_event(self, fault: Fault) -> bytes:
        """Return the event that reports `fault` to the client."""
        return last_lines.chat_event(fault)

    def _is_for_client(self, event: bytes) -> bool:
        """Read an event; return whether to pass it on."""
        data = data_of(event.rstrip(b"\n") if b"\r" not in event else _PLAIN_END.sub(b"\n", event))
        if not data:
            return True  # a comment or an empty event
        usage = self.transcript.usage
        try:
            text = self.transcript.read([data])
        except Interrupted as interrupted:
            self.fault = interrupted.fault if isinstance(interrupted.fault, OpenAINonsense) else _fault_of(data)
            return False
        if not self.begun:
            self.begun = bool(text) or self.transcript.finished or bool(_CALL.search(data))
            self.is_open = self.is_open or self.begun or bool(_REASONING.search(data))
        return self._with_usage or self.transcript.usage is usage or bool(json.loads(data).get("choices"))


def _fault_of(data: bytes) -> Fault:
    """Return the fault of an error event, with OpenAI's own sentence if its type is public."""
    error: Any = json.loads(data)["error"]
    members = error if isinstance(error, dict) else {}
    words = {name: members.get(name) for name in ("type", "code", "param")}
    known = {name: word for name, word in words.items() if isinstance(word, str) and _WORD.fullmatch(word)}
    message = members.get("message") if words["type"] in _PUBLIC_TYPES else None
    sentence = without_account(message) if isinstance(message, str) else None
    return StreamBroken(sentence, details={"openai": known} if known else None)
