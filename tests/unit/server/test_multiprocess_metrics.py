"""What was in flight in a dead worker, read from its metrics files."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import os, sys
from pathlib import Path
from broker.server.multiprocess_metrics import DeadWorkers
from broker.telemetry.metrics import Metrics

metrics = Metrics()
worker = os.fork()
if worker == 0:
    for _ in range(7):
        metrics.calls_admitted.inc()
        metrics.calls_in_flight.inc()
    for _ in range(3):
        metrics.calls_settled.inc()
        metrics.calls_in_flight.dec()
    metrics.calls_given_back.inc()
    metrics.calls_in_flight.dec()
    metrics.budgets.reserved((100, 3 * 10**9))
    metrics.budgets.reserved((100, 3 * 10**9))
    metrics.budgets.settled((100, 3 * 10**9), (120, 10**9))
    os._exit(0)
os.waitpid(worker, 0)
dead = DeadWorkers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), metrics)
before = metrics.exposition(None)[0]
told, unasked = ({"is_expected": one} for one in (True, False))
print(dead.mark_dead(worker, **unasked), dead.mark_dead(worker, **told), dead.mark_dead(1, **told))
for text in (before, metrics.exposition(None)[0]):
    wanted = ("gpt_broker_calls_lapsed_total ", "gpt_broker_calls_in_flight ")
    print(*[line.split()[1] for line in text.splitlines() if line.startswith(wanted)])
print(*[line for line in text.splitlines() if line.startswith("gpt_broker_budget_") and "lapsed" in line], sep="\\n")
print(*[line for line in text.splitlines() if line.startswith("gpt_broker_worker_deaths_total ")])
"""

GROWTH = """
import os
from pathlib import Path
from broker.server.multiprocess_metrics import DeadWorkers
from broker.telemetry import file_lock
from broker.telemetry.metrics import Metrics

folder, metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]), Metrics()
dead = DeadWorkers(folder, metrics)

def worker():
    if (pid := os.fork()) == 0:
        metrics.request_ended("GET", "/health", 200, 0.3)
        os._exit(0)
    os.waitpid(pid, 0)
    dead.mark_dead(pid, is_expected=True)

def shown():
    text = metrics.exposition(None)[0]
    wanted = ("gpt_broker_requests_total{", "gpt_broker_request_duration_seconds_count{")
    print(*[line.split()[1] for line in text.splitlines() if line.startswith(wanted)])
    print(len(list(folder.glob("*.db"))))

for _ in range(5):
    worker()
shown()
reading, said = os.pipe(), os.pipe()
if (reader := os.fork()) == 0:
    with file_lock.reading():
        os.write(said[1], b"x")
        os.read(reading[0], 1)
    os._exit(0)
os.read(said[0], 1)
worker()
shown()
os.write(reading[1], b"x")
os.waitpid(reader, 0)
worker()
shown()
"""


def test_the_files_of_dead_workers_become_one_of_each_kind(tmp_path: Path) -> None:
    """No count is lost. During a scrape the files stay, and are merged when the next worker dies."""
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", GROWTH]
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.split("\n")
    few = int(said[1])
    assert said[:-1] == ["5.0 5.0", str(few), "6.0 6.0", str(few + 2), "7.0 7.0", str(few)]
    assert len(list(tmp_path.glob("counter_*.db"))) == len(["of all dead workers", "of the master"])


def test_calls_and_amounts_in_flight_of_a_dead_worker_lapse_once(tmp_path: Path) -> None:
    """An unknown process id has none; the dead worker's gauges are removed. An end that was expected is no death."""
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CODE]
    said = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.split("\n")

    assert said[0] == "3.0 0.0 0.0"
    assert sorted(said[1].split()) == ["0.0", "3.0"]  # lapsed, in flight; the master's own gauge is 0
    assert sorted(said[2].split()) == ["0.0", "3.0"]
    assert said[3:5] == [
        'gpt_broker_budget_tokens_total{state="lapsed"} 100.0',
        'gpt_broker_budget_dollars_total{state="lapsed"} 3.0',
    ]
    assert said[5] == "gpt_broker_worker_deaths_total 1.0"
