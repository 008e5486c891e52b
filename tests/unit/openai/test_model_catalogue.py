"""What OpenAI says of the models, and that it never harms."""

import logging
from typing import Any

import pytest

from broker.errors.openai import OpenAIRefusedKey, OpenAIUnreachable
from broker.openai.model_catalogue import ModelCatalogue

LISTED = [
    {"id": "gpt-4o", "shutdown_date": "2027-01-14"},
    {"id": "gpt-4o-mini", "shutdown_date": None},
    {"id": "gpt-3.5-turbo", "shutdown_date": "2026-12-01"},
]


def catalogue(*answers: Any) -> ModelCatalogue:
    """One that gets these answers, one after the other."""
    left = list(answers)

    def fetch() -> list[dict[str, Any]]:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    return ModelCatalogue(frozenset({"gpt-4o", "gpt-4o-mini"}), fetch)


def test_a_last_day_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of the models that are used, and of no other."""
    models = catalogue(LISTED, LISTED)
    assert models.refresh()
    assert models.refresh()
    assert models.shutdown_dates == {"gpt-4o": "2027-01-14"}
    assert len(caplog.records) == 1


def test_an_openai_that_is_away_changes_nothing() -> None:
    """What was known stays known."""
    models = catalogue(LISTED, OpenAIUnreachable())
    assert models.refresh()
    assert not models.refresh()
    assert models.shutdown_dates == {"gpt-4o": "2027-01-14"}
    assert not models.key_refused


def test_a_refused_key_is_known_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Until OpenAI takes it."""
    models = catalogue(OpenAIRefusedKey(), OpenAIRefusedKey(), LISTED)
    assert not models.refresh()
    assert not models.refresh()
    assert models.key_refused
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert models.refresh()
    assert not models.key_refused


def test_it_keeps_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after a failure, a day after an answer."""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            raise StopIteration

    monkeypatch.setattr("broker.openai.model_catalogue.time.sleep", nap)
    with pytest.raises(StopIteration):
        catalogue(OpenAIUnreachable(), LISTED)._refresh_forever()
    assert naps == [60.0, 86_400.0]


def test_a_key_that_a_call_was_refused_for_is_looked_at_until_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many calls are refused meanwhile, once every few seconds."""
    naps: list[float] = []
    models = catalogue(OpenAIRefusedKey(), OpenAIUnreachable(), LISTED)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        models.check_key()

    monkeypatch.setattr("broker.openai.model_catalogue.time.sleep", nap)
    monkeypatch.setattr("broker.telemetry.background.threading.Thread", Foreground)
    models.check_key()
    assert naps == [3.0, 3.0, 3.0]
    assert not models.key_refused
    assert [record.levelno for record in caplog.records if "KEY" in record.message] == [logging.ERROR]


class Foreground:
    """A thread that is done when it has been started."""

    def __init__(self, target: Any, **_: Any) -> None:
        self.start = target
