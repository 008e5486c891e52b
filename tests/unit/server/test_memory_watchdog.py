"""The memory watchdog replaces workers above their limit."""

import os
import signal
import time

import pytest

from broker.server import memory_watchdog
from broker.server.memory_watchdog import MemoryWatchdog, resident
from broker.telemetry.background import Background

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


def test_it_reads_the_resident_memory() -> None:
    """The resident memory is reported in bytes."""
    assert 10_000_000 < resident() < 2_000_000_000


def test_one_of_several_ends_itself(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    """It logs the replacement and announces it before the signal."""
    announced: list[bool] = []
    MemoryWatchdog(1, is_alone=False, announce=lambda: announced.append(True)).start(Background())
    wait(sent, 1)
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert announced == [True]
    assert [record.message for record in caplog.records] == ["worker exceeds its memory limit and is replaced"]


def test_a_lone_worker_is_replaced_before_it_goes(sent: Sent) -> None:
    """The master adds a worker, then removes the oldest."""
    MemoryWatchdog(1, is_alone=True, announce=list).start(Background())
    wait(sent, 2)
    assert sent == [(os.getppid(), signal.SIGTTIN), (os.getppid(), signal.SIGTTOU)]


@pytest.mark.parametrize("limit", [0, 2_000_000_000_000])
def test_below_the_limit_or_without_one_nothing_happens(sent: Sent, limit: int) -> None:
    """A limit of 0 disables the watchdog."""
    watch = MemoryWatchdog(limit, is_alone=False, announce=list)
    watch.start(Background())
    time.sleep(0.05)
    assert sent == []
