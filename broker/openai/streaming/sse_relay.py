"""A stream in OpenAI's format on its way through: the client gets OpenAI's bytes, the broker learns what they say.

Whole events are passed on, as many as a read has completed, in one piece that is cut from what came. Only two
kinds stay here: the usage that the client did not ask for, and an error, which may name the operator's account. Pure.
"""

import itertools
import json
import re
from typing import Any

from broker.errors.base import Fault
from broker.errors.openai import OpenAINonsense, StreamBroken
from broker.openai.replies import without_account
from broker.openai.streaming.sse import MAX_EVENT_BYTES, Interrupted, Transcript, data_of

PING = b": ping\n\n"  # a comment: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
_ANY_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")  # the standard allows three kinds of line end
_PLAIN_END = re.compile(rb"\r\n?")
_LONGEST_END = len(b"\r\n\r\n")
_CALL = re.compile(rb'"(?:tool_calls|function_call)"')  # an answer, though it has no text
_OPEN_ABOUT = ("server_error", "model_error")  # types of errors whose message speaks of no account
_WORD = re.compile(r"[a-z_]{1,64}")


class Relay:
    """One stream. Feed it what comes, pass on what it gives, and end where it has a `fault`."""

    def __init__(self, *, with_usage: bool) -> None:
        """`with_usage`: the client asked for the usage."""
        self._with_usage = with_usage
        self._pieces: list[bytes] = []  # of an event whose end has not come, of this size
        self._size = 0
        self._last = b""  # its last bytes, in which an end may have begun
        self.transcript = Transcript()
        self.begun = False  # whether something of the answer itself has come
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> bytes:
        """The whole events that `data` completes, as they came, in one piece unless something is cut out."""
        whole = self._take_whole(data)
        events, kept = _events(whole), []
        for event in events:
            if self._is_for_client(event):
                kept.append(event)
            if self.fault:
                break
        return whole if len(kept) == len(events) else b"".join(kept)

    def finish(self) -> bytes:
        """What is left at the body's end: a last event whose blank line never came, or a fault if it came too early."""
        last = self.feed(b"\n\n") if self._pieces or self._last.strip() else self._last
        if not self.transcript.finished:
            self.fault = self.fault or StreamBroken()
        return last

    def silence(self) -> bytes:
        """What to send while OpenAI is silent: a comment, which is no part of an event."""
        return b"" if self._last else PING

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lost if the connection breaks now: all has come, the usage too if it was asked for."""
        seen = self.transcript
        return seen.finished and bool(seen.done or seen.usage or not self._with_usage)

    def _take_whole(self, data: bytes) -> bytes:
        """All up to the last end of an event. The rest is put aside, and not looked at again, however it is cut."""
        text, whole = self._last + data, b""
        if end := _last_end(text):
            whole, text = b"".join((*self._pieces, text[:end])), text[end:]
            self._pieces, self._size = [], 0
        first, self._last = text[: 1 - _LONGEST_END], text[1 - _LONGEST_END :]
        if first:
            self._pieces.append(first)
            self._size += len(first)
        if self._size > MAX_EVENT_BYTES:
            self.fault = OpenAINonsense()
        return whole

    def _is_for_client(self, event: bytes) -> bool:
        """Learn what an event says; whether the client is to have it."""
        data = data_of(event.rstrip(b"\n") if b"\r" not in event else _PLAIN_END.sub(b"\n", event))
        if not data:
            return True  # a comment, or a blank line more
        usage = self.transcript.usage
        try:
            text = self.transcript.read([data])
        except Interrupted as interrupted:
            self.fault = interrupted.fault if isinstance(interrupted.fault, OpenAINonsense) else _told(data)
            return False
        self.begun = self.begun or bool(text) or self.transcript.finished or bool(_CALL.search(data))
        return self._with_usage or self.transcript.usage is usage or bool(json.loads(data).get("choices"))


def _last_end(text: bytes) -> int:
    """Where the last whole event of `text` ends; 0 where none does."""
    if b"\r" not in text:
        return text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0
    return max((match.end() for match in _ANY_END.finditer(text)), default=0)


def _events(whole: bytes) -> list[bytes]:
    """Each with the blank line that ends it."""
    if b"\r" not in whole:
        return [block + b"\n\n" for block in whole[:-2].split(b"\n\n")] if whole else []
    ends = [0, *(match.end() for match in _ANY_END.finditer(whole))]
    return [whole[start:end] for start, end in itertools.pairwise(ends)]


def _told(data: bytes) -> Fault:
    """The error event `data` as a fault: in OpenAI's words, where they are for everyone."""
    error: Any = json.loads(data)["error"]
    members = error if isinstance(error, dict) else {}
    words = {name: members.get(name) for name in ("type", "code", "param")}
    known = {name: word for name, word in words.items() if isinstance(word, str) and _WORD.fullmatch(word)}
    message = members.get("message") if words["type"] in _OPEN_ABOUT else None
    sentence = without_account(message) if isinstance(message, str) else None
    return StreamBroken(sentence, details={"openai": known} if known else None)
