"""The beginning of a response, and the comments that fill OpenAI's silence."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from broker.errors import last_lines
from broker.errors.openai import OpenAIBroken, OpenAITimeout, StreamBroken
from broker.openai.streaming import pass_through
from broker.openai.streaming.chat_relay import Relay
from broker.openai.streaming.event_splitter import PING
from broker.openai.streaming.responses_relay import ResponsesRelay
from deploy.local import response_shapes
from tests.unit.openai.streaming.test_sse import event, finish

INTERVAL = 12.0
STEP = INTERVAL / pass_through.STEPS
ROLE = event(role="assistant", content="")
TEXT = event(content="a")
CREATED, *_, COMPLETED = RESPONSE = response_shapes.events(
    response_shapes.new_response({"model": "gpt-4o"}) | {"output": [response_shapes.message("a b")]}
)
BOM = b"\xef\xbb\xbf"


class Stream:
    """A stream on a clock of its own: each item is a read, or b"" for a step without one."""

    def __init__(self, *items: bytes | Exception) -> None:
        self._items = items
        self.seconds = 0.0
        self.is_ending = False

    def reads(self, patience: float) -> Iterator[bytes]:
        """Play the items."""
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            self.seconds += patience
            yield item

    def expect_end(self) -> None:
        """Note that only the end is expected."""
        self.is_ending = True


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the opening, the time of its sending, and the rest."""

    def run(*items: bytes | Exception, relay: pass_through.Relay | None = None) -> tuple[bytes, float, list[bytes]]:
        stream, relay = Stream(*items), relay or Relay(with_usage=False)
        monkeypatch.setattr("broker.openai.streaming.pass_through.time.monotonic", lambda: stream.seconds)
        sent = pass_through.pieces(cast("Any", stream), relay, INTERVAL)
        opening = pass_through.take_opening(sent, relay, INTERVAL)
        return opening, stream.seconds, [piece for piece in sent if piece]

    return run


def test_the_answers_first_text_opens_the_response(play: Any) -> None:
    """The opening holds everything that came before the text."""
    assert play(ROLE, TEXT, finish())[:2] == (ROLE + TEXT, 2 * STEP)


@pytest.mark.parametrize("before", [ROLE, b": ka\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'])
def test_it_opens_within_the_interval_whatever_comes_before_the_text(play: Any, before: bytes) -> None:
    """Comments, role chunks and pings are passed on, also if each resets the silence."""
    opening, seconds, rest = play(*[before] * 9, TEXT, finish())
    assert opening == before * 3
    assert seconds <= INTERVAL
    assert b"".join(rest) == before * 6 + TEXT + finish()


def test_reasoning_opens_the_response_at_once(play: Any) -> None:
    """Reasoning is passed on as it arrives."""
    thought = event(reasoning_content="thinking")
    opening, seconds, rest = play(ROLE, thought, thought, thought, TEXT, finish())
    assert (opening, seconds) == (ROLE + thought, 2 * STEP)
    assert rest == [thought, thought, TEXT, finish()]


def test_silence_is_filled_each_interval(play: Any) -> None:
    """Comments fill the silence before the first byte and after it."""
    opening, seconds, rest = play(*[b""] * 9, TEXT, *[b""] * 4, finish())
    assert (opening, seconds) == (PING, INTERVAL)
    assert rest == [PING, TEXT, PING, finish()]


def test_half_an_event_does_not_hold_the_response_back(play: Any) -> None:
    """A comment is sent in its place, because no part of the event has been sent."""
    opening, seconds, rest = play(TEXT[:9], b"", b"", TEXT[9:12], TEXT[12:], finish())
    assert (opening, seconds) == (PING, INTERVAL)
    assert b"".join(rest) == TEXT + finish()


@pytest.mark.parametrize("fault", [StreamBroken(), OpenAITimeout()])
def test_a_failure_before_the_opening_is_raised(play: Any, fault: Exception) -> None:
    """The failure gets its own status. A finished answer is no failure."""
    with pytest.raises(type(fault)):
        play(ROLE, fault)
    assert play(TEXT, finish(), fault)[0] == TEXT


def test_a_response_opens_with_its_first_item(play: Any) -> None:
    """The events before it are included."""
    opening, seconds, rest = play(*RESPONSE, relay=ResponsesRelay())
    assert (opening, seconds) == (b"".join(RESPONSE[:3]), 3 * STEP)
    assert rest == RESPONSE[3:]


@pytest.mark.parametrize("before", [CREATED, b": ka\n\n"])
def test_a_response_opens_within_the_interval_too(play: Any, before: bytes) -> None:
    """It opens even if other events arrive in each step."""
    opening, seconds, rest = play(*[before] * 9, *RESPONSE, relay=ResponsesRelay())
    assert (opening, seconds) == (before * 3, INTERVAL * 3 / 4)
    assert b"".join(rest) == before * 6 + b"".join(RESPONSE)


@pytest.mark.parametrize(("relay", "events"), [
    (Relay(with_usage=False), [ROLE, TEXT, finish()]), (ResponsesRelay(), RESPONSE),
])  # fmt: skip
def test_a_byte_order_mark_is_removed_and_half_of_one_holds_nothing_back(
    play: Any, relay: pass_through.Relay, events: list[bytes]
) -> None:
    """Clients of both APIs would take it for a part of the first field's name."""
    opening, seconds, rest = play(BOM[:2], *[b""] * 4, BOM[2:] + events[0], *events[1:], relay=relay)
    assert (opening, seconds) == (PING, INTERVAL)
    assert b"".join(rest).replace(PING, b"") == b"".join(events)


def test_a_response_that_failed_is_over_though_the_body_is_cut(play: Any) -> None:
    """OpenAI's own failure is the one that is raised."""
    failed = last_lines.event("error", {"type": "error", "error": {"code": "server_error", "message": "x"}})
    with pytest.raises(OpenAIBroken):
        play(CREATED, failed, StreamBroken(), relay=ResponsesRelay())
