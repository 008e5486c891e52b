"""Fixtures of all unit tests."""

from collections.abc import Iterator

import pytest

from broker.quota.write_queue import WriteQueue


@pytest.fixture(autouse=True)
def _write_queues_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each one has nine threads, and a run has hundreds: tests of latency that come later would be slow."""
    started: dict[int, WriteQueue] = {}
    start = WriteQueue.start

    def start_and_note(writes: WriteQueue) -> None:
        started[id(writes)] = writes
        start(writes)

    monkeypatch.setattr(WriteQueue, "start", start_and_note)
    yield
    for writes in started.values():
        writes.close(0)
