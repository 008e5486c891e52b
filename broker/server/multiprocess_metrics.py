"""Cleans up the metrics of dead workers: drops their gauges and counts their unfinished calls as lapsed.

Counters of dead workers stay (https://prometheus.github.io/client_python/multiprocess/). Runs in the master.
"""

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess
from prometheus_client.mmap_dict import MmapedDict

from broker.telemetry.metrics import Metrics

ADMITTED = "gpt_broker_calls_admitted_total"
ENDED = frozenset({"gpt_broker_calls_settled_total", "gpt_broker_calls_given_back_total"})


_FILE = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_\d+\.db")  # prometheus_client's names


def clear(folder: Path) -> None:
    """Make an empty folder for the metrics' files. Other files in it stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if _FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)


class DeadWorkers:
    """The dead workers of one master."""

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        """`folder`: `PROMETHEUS_MULTIPROC_DIR`."""
        self._folder = folder
        self._metrics = metrics
        self._lapsed: dict[int, float] = {}

    def mark_dead(self, pid: int) -> float:
        """Drop a dead worker's gauges and return its in-flight call count, whose leases expire in Redis."""
        drop_gauges(pid)
        self._drop_empty(pid)
        lapsed = self._in_flight(pid) - self._lapsed.get(pid, 0.0)  # the system reuses process ids
        if lapsed > 0:
            self._lapsed[pid] = self._lapsed.get(pid, 0.0) + lapsed
            self._metrics.calls_lapsed.inc(lapsed)
        return lapsed

    def _drop_empty(self, pid: int) -> None:
        """Delete the files that a worker created and never filled, because it was killed: no scrape can read them."""
        for path in self._folder.glob(f"*_{pid}.db"):
            if not path.stat().st_size:
                path.unlink()

    def _in_flight(self, pid: int) -> float:
        file = self._folder / f"counter_{pid}.db"
        if not file.exists():
            return 0.0
        in_flight = 0.0
        read: Any = MmapedDict.read_all_values_from_file
        for key, value, _, _ in read(str(file)):
            name = json.loads(key)[1]
            if name == ADMITTED:
                in_flight += value
            elif name in ENDED:
                in_flight -= value
        return in_flight


def drop_gauges(pid: int) -> None:
    """Remove the gauges of this process from the scrape."""
    mark_process_dead: Any = multiprocess.mark_process_dead
    mark_process_dead(pid)
