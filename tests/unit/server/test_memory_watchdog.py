"""A worker that grows asks to be replaced: by itself beside others, by the master where it is alone."""

import os
import signal
import time

import pytest

from broker.server import memory_watchdog
from broker.server.memory_watchdog import MemoryWatch, resident

Sent = list[tuple[int, int]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    signals: Sent = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    monkeypatch.setattr(memory_watchdog, "STARTING", 0.01)
    monkeypatch.setattr(memory_watchdog, "EVERY", 3600.0)
    return signals


def wait(sent: Sent, number: int) -> None:
    end = time.monotonic() + 2
    while len(sent) < number and time.monotonic() < end:
        time.sleep(0.01)


def test_it_knows_what_the_process_takes() -> None:
    """In bytes: a Python with all this loaded is not small, and no giant."""
    assert 10_000_000 < resident() < 2_000_000_000


def test_one_of_several_ends_itself(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    """Having said so: to the log, and to whoever handles its connections."""
    announced: list[bool] = []
    MemoryWatch(1, is_alone=False, announce=lambda: announced.append(True)).start()
    wait(sent, 1)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert announced == [True]
    assert [record.message for record in caplog.records] == ["a worker takes too much memory and is replaced"]


def test_a_lone_worker_is_replaced_before_it_goes(sent: Sent) -> None:
    """One more, then one less."""
    MemoryWatch(1, is_alone=True, announce=list).start()
    wait(sent, 2)
    assert sent == [(os.getppid(), signal.SIGTTIN), (os.getppid(), signal.SIGTTOU)]


@pytest.mark.parametrize("limit", [0, 2_000_000_000_000])
def test_below_the_limit_or_without_one_nothing_happens(sent: Sent, limit: int) -> None:
    """0 is none."""
    watch = MemoryWatch(limit, is_alone=False, announce=list)
    watch.start()
    time.sleep(0.05)
    assert sent == []
