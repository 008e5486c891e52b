"""Fixtures of all unit tests."""

from collections.abc import Iterator

import pytest

from broker.openai.model_catalogue import ModelCatalogue
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


@pytest.fixture(autouse=True)
def _key_checks_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A check of a refused key goes on until OpenAI accepts it, and would write its failures into later tests' logs."""
    checking: dict[int, ModelCatalogue] = {}
    check_key = ModelCatalogue.check_key

    def check_and_note(catalogue: ModelCatalogue) -> None:
        checking[id(catalogue)] = catalogue
        check_key(catalogue)

    monkeypatch.setattr(ModelCatalogue, "check_key", check_and_note)
    yield
    for catalogue in checking.values():
        catalogue._fetch = list  # the next try succeeds
