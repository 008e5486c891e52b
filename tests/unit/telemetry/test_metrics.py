"""The exposition for Prometheus while workers start."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broker.telemetry import metrics
from broker.telemetry.metrics import Metrics
from deploy.local.broker_process import ROOT
from tests.apps import REQUIRED


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


RELOADS = """
import gc, json, sys
def load():
    sys.modules.pop("wsgi", None)
    __import__("wsgi")
    gc.collect()
    kinds = [type(one).__name__ for one in gc.get_objects()]
    return [kinds.count(name) for name in ("MmapedValue", "Services", "WebApp", "CollectorRegistry")]
print(json.dumps([load() for _ in range(5)]))
"""


def test_reloads_leave_nothing_of_the_old_app_in_the_master(tmp_path: Path) -> None:
    """prometheus_client keeps every value that was ever made, in the mode for several processes."""
    environ = REQUIRED | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", RELOADS], cwd=ROOT, env=environ, check=True, capture_output=True, text=True
    )
    _, first, *later = json.loads(done.stdout)
    assert first[0] > 10
    assert later == [first] * 3
