"""What a worker leaves behind in the metrics' files when it dies: gauges that hold no longer, and calls whose end
nobody wrote down.

Its counts stay: https://prometheus.github.io/client_python/multiprocess/. Runs in the master, which serves nothing.
"""

import json
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess
from prometheus_client.mmap_dict import MmapedDict

from broker.telemetry.metrics import Metrics

ADMITTED = "gpt_broker_calls_admitted_total"
ENDED = frozenset({"gpt_broker_calls_settled_total", "gpt_broker_calls_given_back_total"})


class DeadWorkers:
    """Those of one master."""

    def __init__(self, folder: Path, metrics: Metrics) -> None:
        """`folder`: `PROMETHEUS_MULTIPROC_DIR`."""
        self._folder = folder
        self._metrics = metrics
        self._lapsed: dict[int, float] = {}

    def bury(self, pid: int) -> float:
        """A worker has died; how many calls were in flight in it. Redis lets their leases lapse within a minute."""
        forget_gauges(pid)
        lapsed = self._in_flight(pid) - self._lapsed.get(pid, 0.0)  # a number may be given to another worker later
        if lapsed > 0:
            self._lapsed[pid] = self._lapsed.get(pid, 0.0) + lapsed
            self._metrics.calls_lapsed.inc(lapsed)
        return lapsed

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


def forget_gauges(pid: int) -> None:
    """This process has none that anybody should see."""
    forget: Any = multiprocess.mark_process_dead
    forget(pid)
