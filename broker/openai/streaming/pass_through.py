"""Passes an open stream on to the client. Decides when the response begins, and fills the silences of OpenAI."""

import time
from collections.abc import Iterator
from typing import Any, Protocol

from broker.errors.base import Fault
from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.event_splitter import PING

STEPS = 4  # of a ping interval; after each, a silent stream is looked at


class Relay(Protocol):
    """Selects the client's part of one stream."""

    fault: Fault | None
    begun: bool  # whether a part of the answer itself has come

    def feed(self, data: bytes) -> bytes:
        """Return the whole events that `data` completes."""

    def silence(self) -> bytes:
        """Return the bytes to send while OpenAI is silent."""

    def finish(self) -> bytes:
        """Return the rest at the end of the body."""

    @property
    def is_open(self) -> bool:
        """Whether the client has something to show: text, a tool call, or reasoning."""

    @property
    def is_over(self) -> bool:
        """Whether OpenAI's last event has come."""

    @property
    def is_complete(self) -> bool:
        """Whether the client has the whole answer, or OpenAI's own failure."""

    @property
    def is_charged(self) -> bool:
        """Whether nothing that follows changes the usage."""

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage object, {} before it has come."""

    @property
    def delivered_tokens(self) -> int:
        """The estimated tokens passed on so far, for an answer that ends without usage."""

    def last_event(self, fault: Fault) -> bytes:
        """Return the event that reports `fault` to the client; b"" if the client has it already."""


def pieces(stream: Stream, relay: Relay, interval: float) -> Iterator[bytes]:
    """Yield the client's part of each read, to the body's end; b"" if it has none.

    `interval`: seconds of silence before a comment is sent. Raises as `Stream.reads`, and the relay's fault.
    """
    quiet = 0  # steps
    try:
        for data in stream.reads(interval / STEPS):
            quiet = 0 if data else quiet + 1
            yield relay.feed(data) if data else relay.silence() if quiet % STEPS == 0 else b""
            if relay.fault:
                raise relay.fault
            if relay.is_over:  # read to the body's end: only then the connection is reused
                stream.expect_end()
    except (OpenAITimeout, StreamBroken):
        if relay.fault or not relay.is_complete:
            raise
    yield relay.finish()
    if relay.fault:
        raise relay.fault


def take_opening(pieces: Iterator[bytes], relay: Relay, interval: float) -> bytes:
    """Take the pieces until the answer begins, and for `interval` seconds at most.

    An earlier failure gets its own status. Later the client needs a first byte, or a proxy gives up.
    """
    started, opening = time.monotonic(), b""
    for piece in pieces:
        opening += piece
        waited = time.monotonic() - started
        if relay.is_open or waited >= interval or (opening and waited >= interval * (STEPS - 1) / STEPS):
            return opening or PING
    return opening
