"""Shutdown dates of the models; a failed fetch never fails a call."""

import logging
from typing import Any

import pytest

from broker.errors.openai import OpenAINonsense, OpenAIRefusedKey, OpenAIUnreachable
from broker.openai.model_catalogue import ModelCatalogue

LISTED = [
    {"id": "gpt-4o", "shutdown_date": "2027-01-14"},
    {"id": "gpt-4o-mini", "shutdown_date": None},
    {"id": "gpt-3.5-turbo", "shutdown_date": "2026-12-01"},
]


def catalogue(*answers: Any) -> ModelCatalogue:
    """Return a catalogue whose fetches get these answers in turn."""
    left = list(answers)

    def fetch() -> list[dict[str, Any]]:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    return ModelCatalogue(frozenset({"gpt-4o", "gpt-4o-mini"}), fetch)


def test_a_shutdown_date_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Only configured models are logged, each date once."""
    models = catalogue(LISTED, LISTED)
    assert models.refresh()
    assert models.refresh()
    assert models.shutdown_dates == {"gpt-4o": "2027-01-14"}
    assert len(caplog.records) == 1


def test_a_failed_fetch_changes_nothing() -> None:
    """Known dates are kept."""
    models = catalogue(LISTED, OpenAIUnreachable())
    assert models.refresh()
    assert not models.refresh()
    assert models.shutdown_dates == {"gpt-4o": "2027-01-14"}
    assert not models.key_refused


def test_a_refused_key_is_known_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The state ends when OpenAI accepts the key."""
    models = catalogue(OpenAIRefusedKey(), OpenAIRefusedKey(), LISTED)
    assert not models.refresh()
    assert not models.refresh()
    assert models.key_refused
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert models.refresh()
    assert not models.key_refused


def test_it_refreshes_daily_and_soon_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It retries soon after a failure and a day after a success."""
    pauses: list[float] = []

    def nap(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise StopIteration

    monkeypatch.setattr("broker.openai.model_catalogue.time.sleep", nap)
    with pytest.raises(StopIteration):
        catalogue(OpenAINonsense(), LISTED)._refresh_forever()
    assert pauses == [60.0, 86_400.0]


def test_an_openai_that_cannot_be_reached_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/ready` is right again within seconds."""
    pauses: list[float] = []

    def nap(seconds: float) -> None:
        pauses.append(seconds)
        raise StopIteration

    monkeypatch.setattr("broker.openai.model_catalogue.time.sleep", nap)
    with pytest.raises(StopIteration):
        catalogue(OpenAIUnreachable())._refresh_forever()
    assert pauses == [3.0]


def test_a_key_refused_in_a_call_is_checked_until_it_is_accepted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One fetch every few seconds suffices for any number of refused calls."""
    pauses: list[float] = []
    models = catalogue(OpenAIRefusedKey(), OpenAIUnreachable(), LISTED)

    def nap(seconds: float) -> None:
        pauses.append(seconds)
        models.check_key()

    monkeypatch.setattr("broker.openai.model_catalogue.time.sleep", nap)
    monkeypatch.setattr("broker.telemetry.background.threading.Thread", Foreground)
    models.check_key()
    assert pauses == [3.0, 3.0, 3.0]
    assert not models.key_refused
    assert [record.levelno for record in caplog.records if "KEY" in record.message] == [logging.ERROR]


class Foreground:
    """A thread that runs in the foreground."""

    def __init__(self, target: Any, **_: Any) -> None:
        self.start = target
