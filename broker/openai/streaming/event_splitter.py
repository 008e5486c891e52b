"""Splits an event stream into whole events, unchanged byte for byte. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

import codecs
import itertools
import re

PING = b": ping\n\n"  # a comment: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
_ANY_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")  # the standard allows three line ends
_LONGEST_END = len(b"\r\n\r\n")


class BomFilter:
    """Removes a byte order mark at the beginning of a stream, which the standard allows."""

    def __init__(self) -> None:
        self.is_done = False
        self._head = b""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes without the mark, or b"" while it is incomplete."""
        data = self._head + data
        if len(data) < len(codecs.BOM_UTF8) and codecs.BOM_UTF8.startswith(data):
            self._head = data
            return b""
        self.is_done = True
        return data.removeprefix(codecs.BOM_UTF8)


class EventSplitter:
    """Buffers the incomplete last event of a stream."""

    def __init__(self) -> None:
        self._bom = BomFilter()
        self._pieces: list[bytes] = []  # of the incomplete last event
        self._last = b""  # the last bytes, which may begin a blank line
        self.size = 0  # buffered bytes, without the last few

    @property
    def rest(self) -> bytes:
        """The last buffered bytes; b"" between events."""
        return self._last

    @property
    def has_partial_event(self) -> bool:
        """Whether a part of an event is buffered."""
        return bool(self._pieces or self._last.strip())

    def take_whole(self, data: bytes) -> bytes:
        """Return everything up to the last end of an event, without a byte order mark at the stream's beginning.

        The rest is kept and not scanned again.
        """
        if not self._bom.is_done:
            data = self._bom.feed(data)
        text, whole = self._last + data, b""
        if end := _last_end(text):
            whole, text = b"".join((*self._pieces, text[:end])), text[end:]
            self._pieces, self.size = [], 0
        first, self._last = text[: 1 - _LONGEST_END], text[1 - _LONGEST_END :]
        if first:
            self._pieces.append(first)
            self.size += len(first)
        return whole


def split(whole: bytes) -> list[bytes]:
    """Split whole events, each with its blank line."""
    if b"\r" not in whole:
        return [block + b"\n\n" for block in whole[:-2].split(b"\n\n")] if whole else []
    ends = [0, *(match.end() for match in _ANY_END.finditer(whole))]
    return [whole[start:end] for start, end in itertools.pairwise(ends)]


def _last_end(text: bytes) -> int:
    """Return the end of the last whole event of `text`; 0 if there is none."""
    if b"\r" not in text:
        return text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0
    return max((match.end() for match in _ANY_END.finditer(text)), default=0)
