"""The end of an old release: it waits for open calls, and for a limited time."""

import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from deploy import drain

HEADER = "  sl  local_address rem_address   st\n"
LISTENING = "   0: 00000000:1F4B 00000000:0000 0A\n"
CALL = "   1: 0300A8C0:1F4B 0200A8C0:D2F0 01\n"  # from the proxy, established
LEFT = "   2: 0300A8C0:1F4B 0200A8C0:D2F2 08\n"  # the proxy has closed its side
HEALTH = "   3: 0100007F:1F4B 0100007F:D2F4 01\n"  # from loopback
OTHER = "   4: 0300A8C0:D2F6 0400A8C0:18EB 01\n"  # to Redis


def test_open_calls_are_the_connections_of_the_proxy() -> None:
    """Not health checks, not the listening socket, not connections to others."""
    assert drain.open_calls(HEADER + LISTENING + CALL + LEFT + HEALTH + OTHER, 8011) == 2


@pytest.mark.parametrize(
    ("tables", "seconds"),
    [
        ([CALL, CALL, "", "", "", CALL], 5),  # three quiet seconds
        ([CALL, "", "", CALL, "", "", ""], 7),  # a pause between two calls is no end
        ([CALL] * 100, 7),  # the limit: the clock was read once at the start
    ],
)
def test_the_broker_is_stopped_when_its_calls_have_ended_or_the_time_is_up(
    tables: list[str], seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SIGTERM to the container's first process."""
    clock, rows, signals = itertools.count(), iter(tables), []
    monkeypatch.setattr(Path, "read_text", lambda _: HEADER + next(rows))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(os, "kill", lambda *sent: signals.append(sent))
    drain.main(8)
    assert signals == [(1, signal.SIGTERM)]
    assert len(tables) - len(list(rows)) == seconds
