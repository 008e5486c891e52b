"""A stream in OpenAI's format on its way through: the client gets OpenAI's bytes, the broker learns what they say.

Whole events are passed on, as many as a read has completed, in one piece that is cut from what came. Only two
kinds stay here: the usage that the client did not ask for, and an error, which may name the operator's account. Pure.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from broker.events import MAX_EVENT_BYTES, EventReader, Interrupted, Transcript
from broker.faults import Fault
from broker.openai_faults import OpenAINonsense, StreamBroken
from broker.replies import without_account

PING = b": ping\n\n"  # a comment: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
_END = re.compile(rb"\n\n")
_ANY_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")  # the standard allows three kinds of line end
_CALL = re.compile(rb'"(?:tool_calls|function_call)"')  # an answer, though it has no text
_OPEN_ABOUT = ("server_error", "model_error")  # types of errors whose message speaks of no account
_WORD = re.compile(r"[a-z_]{1,64}")


class Relay:
    """One stream. Feed it what comes, pass on what it gives, and end where it has a `fault`."""

    def __init__(self, *, with_usage: bool) -> None:
        """`with_usage`: the client asked for the usage."""
        self._with_usage = with_usage
        self._reader = EventReader()
        self._rest = bytearray()  # grows in place: an event that comes in many pieces is not copied with each
        self.transcript = Transcript()
        self.begun = False  # whether something of the answer itself has come
        self.fault: Fault | None = None

    def feed(self, data: bytes) -> bytes:
        """The whole events that `data` completes, as they came."""
        searched = max(0, len(self._rest) - 2)  # the most of an end that may have come already
        self._rest += data
        pattern = _ANY_END if b"\r" in data or b"\r" in self._rest[searched:] else _END
        ends = [match.end() for match in pattern.finditer(self._rest, searched)]
        if not ends:
            if len(self._rest) > MAX_EVENT_BYTES:
                self.fault = OpenAINonsense()
            return b""
        text, self._rest = bytes(self._rest), self._rest[ends[-1] :]
        return b"".join(self._kept(text, ends))

    def finish(self) -> bytes:
        """What is left at the body's end: a last event whose blank line never came, or a fault if it came too early."""
        last = self.feed(b"\n\n") if self._rest.strip() else b""
        if not self.transcript.finished:
            self.fault = self.fault or StreamBroken()
        return last

    def silence(self) -> bytes:
        """What to send while OpenAI is silent: a comment, which is no part of an event."""
        return b"" if self._rest else PING

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lost if the connection breaks now: all has come, the usage too if it was asked for."""
        seen = self.transcript
        return seen.finished and bool(seen.done or seen.usage or not self._with_usage)

    def _kept(self, text: bytes, ends: list[int]) -> Iterator[bytes]:
        """The events of `text` that are for the client: one piece, unless something is cut out of it."""
        first = start = 0
        for end in ends:
            is_kept = self._read(text[start:end])
            if not is_kept:
                yield text[first:start]
                first = end
            if self.fault:
                return
            start = end
        yield text[first:start]

    def _read(self, event: bytes) -> bool:
        """Learn what an event says; whether it is for the client."""
        return all(self._read_data(data) for data in self._reader.feed(event) or self._reader.finish())

    def _read_data(self, data: bytes) -> bool:
        usage = self.transcript.usage
        try:
            text = self.transcript.read([data])
        except Interrupted as interrupted:
            self.fault = interrupted.fault if isinstance(interrupted.fault, OpenAINonsense) else _told(data)
            return False
        self.begun = self.begun or bool(text) or self.transcript.finished or bool(_CALL.search(data))
        return self._with_usage or self.transcript.usage is usage or bool(json.loads(data).get("choices"))


def _told(data: bytes) -> Fault:
    """The error event `data` as a fault: in OpenAI's words, where they are for everyone."""
    error: Any = json.loads(data)["error"]
    members = error if isinstance(error, dict) else {}
    words = {name: members.get(name) for name in ("type", "code", "param")}
    known = {name: word for name, word in words.items() if isinstance(word, str) and _WORD.fullmatch(word)}
    message = members.get("message") if words["type"] in _OPEN_ABOUT else None
    sentence = without_account(message) if isinstance(message, str) else None
    return StreamBroken(sentence, details={"openai": known} if known else None)
