"""The memory watchdog asks for the replacement of a worker above its limit."""

import os
import time
from collections.abc import Callable

import pytest

from broker.server import memory_watchdog
from broker.server.memory_watchdog import MemoryWatchdog, resident
from broker.telemetry.background import Background


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_watchdog, "EVERY", 0.005)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 2
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    assert condition()


def test_it_reads_the_resident_memory() -> None:
    """The resident memory is reported in bytes."""
    assert 10_000_000 < resident() < 2_000_000_000


def test_a_worker_above_its_limit_asks_until_it_is_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    """Workers are replaced one at a time; the log has one line when the request is accepted."""
    asked: list[int] = []

    def request(pid: int) -> bool:
        asked.append(pid)
        return len(asked) == 3

    MemoryWatchdog(1, request).start(Background())
    wait_for(lambda: caplog.records)
    assert asked == [os.getpid()] * 3
    assert [record.message for record in caplog.records] == ["worker exceeds its memory limit and is replaced"]


@pytest.mark.parametrize("limit", [0, 2_000_000_000_000])
def test_below_the_limit_or_without_one_nothing_happens(limit: int) -> None:
    """A limit of 0 disables the watchdog."""
    MemoryWatchdog(limit, lambda _: pytest.fail("a replacement is requested")).start(background := Background())
    time.sleep(0.05)
    assert background.failing() == []
