"""The write queue survives unexpected exceptions."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from broker.errors.base import UsageUnavailable
from broker.quota import write_queue
from broker.quota.write_queue import ATTEMPTS, WRITERS, WriteQueue
from broker.telemetry import background
from broker.telemetry.background import Background


class Store:
    """Raises unexpected exceptions for scripts that are named "broken"; `flaky` ones succeed at the second attempt."""

    is_up = True

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self.down: set[str] = set()

    def run(self, script: str, arguments: Any, keys: int) -> None:
        """Like the real method."""
        self.attempts.append(script)
        if arguments[0] in self.down:
            raise UsageUnavailable
        if script == "broken" or (script.startswith("flaky") and self.attempts.count(script) < 2):
            raise RuntimeError("unexpected")

    def probe(self) -> None:
        """Like the real method."""

    def shard_of(self, key: str) -> str:
        """Keys are named after their part of Redis."""
        return key


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.005)
    monkeypatch.setattr(write_queue, "PAUSE", 0.02)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def test_unexpected_exceptions_do_not_end_the_writers() -> None:
    """There are more of them than writers. Later writes arrive; writes that failed once are retried."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    for number in range(WRITERS * 2):
        writes.put(f"flaky {number}", ("key",), lambda number=number: written.append(f"flaky {number}"))  # type: ignore[misc]
    writes.put("good", ("key",), lambda: written.append("good"))
    wait_for(lambda: len(written) == WRITERS * 2 + 1)
    writes.close(1.0)


def test_a_write_that_always_raises_is_dropped() -> None:
    """After three attempts, so that it does not occupy the writers for ever; `close` does not wait for it."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    writes.put("broken", ("key",))
    wait_for(lambda: store.attempts.count("broken") == ATTEMPTS)
    writes.put("good", ("key",), lambda: written.append("good"))
    wait_for(lambda: written)
    started = time.monotonic()
    writes.close(5.0)
    assert time.monotonic() - started < 1
    assert store.attempts.count("broken") == ATTEMPTS


def test_a_callback_that_raises_does_not_repeat_the_write() -> None:
    """The script has run."""
    store: Any = Store()
    writes, written = WriteQueue(store, Background()), list[str]()
    writes.put("once", ("key",), lambda: 1 / 0)
    writes.put("good", ("key",), lambda: written.append("good"))
    wait_for(lambda: written)
    writes.close(1.0)
    assert store.attempts.count("once") == 1


def test_writes_to_an_unavailable_part_of_redis_delay_no_others() -> None:
    """Each arrives once that part has recovered; meanwhile one is tried per pause."""
    store: Any = Store()
    store.down.add("frozen")
    writes, written = WriteQueue(store, Background()), list[str]()
    for number in range(WRITERS * 4):
        writes.put("late", ("frozen",), lambda number=number: written.append(f"late {number}"))  # type: ignore[misc]
    writes.put("good", ("well",), lambda: written.append("good"))
    wait_for(lambda: written == ["good"])
    time.sleep(0.1)
    assert store.attempts.count("late") < WRITERS * 4 + 20
    store.down.clear()
    wait_for(lambda: len(written) == WRITERS * 4 + 1)
    writes.close(1.0)
    assert len(set(written)) == WRITERS * 4 + 1


def test_a_write_that_keeps_failing_does_not_hold_back_the_others_of_its_part() -> None:
    """The slot of its key may be half moved, while the rest of the part has recovered."""
    store: Any = Store()
    store.shard_of = lambda _: "part"
    store.down = {"half moved", "well"}
    writes, written = WriteQueue(store, Background()), list[str]()
    for key in ("half moved", "well"):
        writes.put(key, (key,), lambda key=key: written.append(key))  # type: ignore[misc]
        wait_for(lambda key=key: key in store.attempts)  # type: ignore[misc]
    store.down = {"half moved"}
    wait_for(lambda: written == ["well"])
    store.down = set()
    wait_for(lambda: written == ["well", "half moved"])


def test_leases_in_a_healthy_part_of_redis_are_renewed_while_another_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is not renewed gives a running call back."""
    monkeypatch.setattr(write_queue, "RENEW_INTERVAL", 0.05)
    store: Any = Store()
    store.down.add("frozen")
    renewed: list[str] = []
    run = store.run

    def note(script: str, arguments: Any, keys: int) -> None:
        run(script, arguments, keys)
        renewed.append(arguments[0])

    store.run = note
    writes = WriteQueue(store, Background())
    writes.add_lease("one", ("frozen",))
    writes.add_lease("two", ("well",))
    wait_for(lambda: renewed.count("well") >= 2)
    store.down.clear()
    wait_for(lambda: "frozen" in renewed)
    writes.drop_lease("one")
    writes.close(1.0)
