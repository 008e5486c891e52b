"""Cleans up the metrics of dead workers: drops their gauges and counts their unfinished calls as lapsed.

Counters of dead workers stay (https://prometheus.github.io/client_python/multiprocess/), added up in one file per kind:
a scrape reads every file, and a worker that is replaced would add two for good. Runs in the master.
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess
from prometheus_client.mmap_dict import MmapedDict

from broker.telemetry import file_lock
from broker.telemetry.metrics import Metrics

CALLS, TOKENS, DOLLARS = range(3)
# the sign of each sample in the sum of calls, tokens or dollars in flight
_IN_FLIGHT = {
    ("gpt_broker_calls_admitted_total", ""): (CALLS, 1),
    ("gpt_broker_calls_settled_total", ""): (CALLS, -1),
    ("gpt_broker_calls_given_back_total", ""): (CALLS, -1),
} | {
    (f"gpt_broker_budget_{unit}_total", state): (number, sign)
    for unit, number in (("tokens", TOKENS), ("dollars", DOLLARS))
    for state, sign in (("reserved", 1), ("exceeded", 1), ("settled", -1), ("released", -1))
}
LEAST = 1e-9  # a nano-dollar; sums of floats differ by less

KINDS = ("counter", "histogram")  # of the files that outlast their worker
ALL_DEAD = 0  # in place of the process id, in the names of the files of all dead workers

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
        self._lapsed: dict[int, list[float]] = {}  # by the id of a dead worker whose files are not merged yet

    def mark_dead(self, pid: int, *, is_expected: bool) -> float:
        """Drop a dead worker's gauges and return its in-flight call count, whose leases expire in Redis.

        `is_expected`: the master has sent it SIGTERM.
        """
        drop_gauges(pid)
        if not is_expected:
            self._metrics.worker_deaths.inc()
        self._drop_empty(pid)
        before, in_flight = self._lapsed.get(pid, [0.0] * 3), self._in_flight(pid)  # the system reuses process ids
        calls, tokens, dollars = (max(0.0, now - then) for now, then in zip(in_flight, before, strict=True))
        self._lapsed[pid] = in_flight
        if calls:
            self._metrics.calls_lapsed.inc(calls)
        if tokens or dollars >= LEAST:
            self._metrics.budgets.lapsed(tokens, dollars)
        with contextlib.suppress(BlockingIOError), file_lock.changing():  # during a scrape: after the next death
            self._merge()
        return calls

    def _merge(self) -> None:
        """Add the counters and histograms of dead workers to those of earlier ones, and delete their files."""
        for pid in [pid for pid in self._lapsed if not Path(f"/proc/{pid}").exists()]:
            for kind in KINDS:
                self._merge_file(self._folder / f"{kind}_{pid}.db", self._folder / f"{kind}_{ALL_DEAD}.db")
            del self._lapsed[pid]

    def _merge_file(self, dead: Path, total: Path) -> None:
        if not dead.exists():
            return
        file: Any = MmapedDict
        values = list(file.read_all_values_from_file(str(dead)))  # first: a damaged file must not be added in part
        sums = file(str(total))
        for key, value, _, _ in values:
            sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
        sums.close()
        dead.unlink()

    def _drop_empty(self, pid: int) -> None:
        """Delete the files that a worker created and never filled, because it was killed: no scrape can read them."""
        for path in self._folder.glob(f"*_{pid}.db"):
            if not path.stat().st_size:
                path.unlink()

    def _in_flight(self, pid: int) -> list[float]:
        """Return the calls, tokens and dollars that the worker's counters leave in flight."""
        file, in_flight = self._folder / f"counter_{pid}.db", [0.0] * 3
        if not file.exists():
            return in_flight
        read: Any = MmapedDict.read_all_values_from_file
        for key, value, _, _ in read(str(file)):
            _, name, labels, _ = json.loads(key)
            number, sign = _IN_FLIGHT.get((name, labels.get("state", "")), (CALLS, 0))
            in_flight[number] += sign * value
        return in_flight


def drop_gauges(pid: int) -> None:
    """Remove the gauges of this process from the scrape."""
    mark_process_dead: Any = multiprocess.mark_process_dead
    mark_process_dead(pid)
