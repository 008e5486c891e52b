"""The exposition for Prometheus while workers start."""

import struct
from typing import Any

import pytest

from broker.telemetry import metrics
from broker.telemetry.metrics import Metrics


class Starting:
    """An exporter that finds the empty files of a starting worker, `times` times."""

    def __init__(self, times: int) -> None:
        self._left = times

    def generate_metrics(self, _: Any) -> tuple[str, str]:
        """Like the real method."""
        self._left -= 1
        if self._left >= 0:
            struct.unpack("i", b"")
        return "gpt_broker_workers 1", "text/plain"


def test_a_scrape_survives_a_worker_s_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The empty files exist only for a moment."""
    measured = Metrics()
    monkeypatch.setattr(measured, "_exporter", Starting(times=3))
    assert measured.exposition(None)[0] == "gpt_broker_workers 1"


def test_a_file_that_stays_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape retries a limited number of times."""
    measured = Metrics()
    monkeypatch.setattr(measured, "_exporter", Starting(times=1000))
    monkeypatch.setattr(metrics, "STARTING", 0.0)
    with pytest.raises(struct.error):
        measured.exposition(None)
