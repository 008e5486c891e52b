"""/ready reports the background tasks."""

import time
from collections.abc import Callable

import pytest
from flask import Flask

from broker.telemetry import background
from broker.telemetry.background import Background
from broker.web.services import EXTENSION, Services
from tests.apps import make_app


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    return make_app()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def fail() -> None:
    """Fail forever."""
    raise RuntimeError


@pytest.mark.parametrize(("is_vital", "status", "word"), [(False, 200, "restarting"), (True, 503, "failing")])
def test_a_background_task_that_keeps_failing_is_shown(app: Flask, is_vital: bool, status: int, word: str) -> None:
    """Only a vital one takes the worker out of service. The metric counts the restarts by task."""
    services: Services = app.extensions[EXTENSION]
    services.background.run("planted", fail, is_vital=is_vital)
    wait_for(services.background.failing)
    response = app.test_client().get("/ready")
    parts = response.json["parts"]  # type: ignore[index]
    assert parts["background"] == word
    assert response.status_code == status
    text = services.metrics.exposition(None)[0]
    assert 'gpt_broker_background_restarts_total{task="planted"}' in str(text)


def test_every_background_task_is_supervised(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks of a worker run in the one supervisor."""
    services: Services = app.extensions[EXTENSION]
    started: list[str] = []
    monkeypatch.setattr(Background, "_supervise", lambda _, task, __: started.append(task.name))
    services.start()
    services.catalogue.check_key()
    services.calls._epoll()
    wait_for(lambda: len(started) >= 14)
    expected = {"signing keys", "write queue", "model catalogue", "OpenAI key check", "client watcher", "block watch"}
    assert set(started) == expected
