"""The write queue survives unexpected exceptions."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from broker.quota.write_queue import ATTEMPTS, WRITERS, WriteQueue
from broker.telemetry import background
from broker.telemetry.background import Background


class Store:
    """Raises unexpected exceptions for scripts that are named "broken"; `flaky` ones succeed at the second attempt."""

    is_up = True

    def __init__(self) -> None:
        self.attempts: list[str] = []

    def run(self, script: str, _: Any) -> None:
        """Like the real method."""
        self.attempts.append(script)
        if script == "broken" or (script.startswith("flaky") and self.attempts.count(script) < 2):
            raise RuntimeError("unexpected")

    def probe(self) -> None:
        """Like the real method."""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.005)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def test_unexpected_exceptions_do_not_end_the_writers() -> None:
    """More of them than there are writers; later writes arrive, and the writes that failed once are retried."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    for number in range(WRITERS * 2):
        writes.put(f"flaky {number}", (), lambda number=number: written.append(f"flaky {number}"))  # type: ignore[misc]
    writes.put("good", (), lambda: written.append("good"))
    wait_for(lambda: len(written) == WRITERS * 2 + 1)
    writes.close(1.0)


def test_a_write_that_always_raises_is_dropped() -> None:
    """After three attempts, so that it does not occupy the writers for ever; `close` does not wait for it."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    writes.put("broken", ())
    wait_for(lambda: store.attempts.count("broken") == ATTEMPTS)
    writes.put("good", (), lambda: written.append("good"))
    wait_for(lambda: written)
    started = time.monotonic()
    writes.close(5.0)
    assert time.monotonic() - started < 1
    assert store.attempts.count("broken") == ATTEMPTS


def test_a_callback_that_raises_does_not_repeat_the_write() -> None:
    """The script has run."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    writes.put("once", (), lambda: 1 / 0)
    writes.put("good", (), lambda: written.append("good"))
    wait_for(lambda: written)
    writes.close(1.0)
    assert store.attempts.count("once") == 1
