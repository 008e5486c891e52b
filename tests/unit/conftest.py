"""Fixtures of all unit tests."""

from collections.abc import Iterator
from typing import Any

import pytest

from broker.openai.model_catalogue import ModelCatalogue
from broker.quota.write_queue import WriteQueue


def note_instances(monkeypatch: pytest.MonkeyPatch, of: type, method: str) -> dict[int, Any]:
    """The instances whose method is called from now on, by their ids."""
    noted: dict[int, Any] = {}
    original = getattr(of, method)

    def note(instance: Any) -> None:
        noted[id(instance)] = instance
        original(instance)

    monkeypatch.setattr(of, method, note)
    return noted


@pytest.fixture(autouse=True)
def _write_queues_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each one has nine threads, and a run has hundreds: tests of latency that come later would be slow."""
    started = note_instances(monkeypatch, WriteQueue, "start")
    yield
    for writes in started.values():
        writes.close(0)


@pytest.fixture(autouse=True)
def _key_checks_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A check of a refused key goes on until OpenAI accepts it, and would write its failures into later tests' logs."""
    checking = note_instances(monkeypatch, ModelCatalogue, "check_key")
    yield
    for catalogue in checking.values():
        catalogue._fetch = list  # the next try succeeds
