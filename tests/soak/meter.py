"""Samples of a broker once a second: memory, open files, greenlets, connections to OpenAI, keys in Redis."""

import contextlib
import json
import re
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from tests.integration.stack import Stack

MB = 1024.0  # kB
OPEN = ("01", "08")  # ESTABLISHED, CLOSE_WAIT


@dataclass(frozen=True)
class Sample:
    """One sample at `at` seconds. Memory (MB) is the largest worker's; other figures are sums over the workers."""

    at: float
    memory: float
    resident: float
    files: int
    greenlets: int
    threads: int
    upstream: int
    keys: int
    redis: float
    answered: int

    def row(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


class Meter:
    """Takes a sample each second until `stop`."""

    def __init__(self, stack: Stack, vitals: Path, answered: "dict[str, int]", openai_port: int) -> None:
        """`vitals`: the folder of the workers' files; `answered`: the clients' counts by outcome.

        `openai_port`: the port to which the broker connects for OpenAI.
        """
        self._openai_port = openai_port
        self.samples: list[Sample] = []
        self._stack, self._vitals, self._answered = stack, vitals, answered
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def sample(self) -> Sample:
        """Take a sample."""
        pids = self._stack.broker.workers()
        info = self._stack.redis.client.info("memory")
        return Sample(
            at=time.monotonic() - self._began,
            memory=max(_kilobytes(pid, "Pss") for pid in pids) / MB,
            resident=max(_kilobytes(pid, "Rss") for pid in pids) / MB,
            files=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            greenlets=sum(self._greenlets(pid) for pid in pids),
            threads=sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
            upstream=_connections_to(self._openai_port),
            keys=int(self._stack.redis.client.dbsize()),
            redis=info["used_memory"] / MB / MB,
            answered=sum(self._answered.values()),
        )

    def _greenlets(self, pid: int) -> int:
        path = self._vitals / f"{pid}.json"
        return int(json.loads(path.read_text())["greenlets"]) if path.exists() else 0

    def _keep_looking(self) -> None:
        while not self._over.wait(1.0):
            with contextlib.suppress(redis.RedisError, OSError):  # Redis or a worker is replaced: skip this second
                self.samples.append(self.sample())


def _kilobytes(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return float(found[1])


def _connections_to(port: int) -> int:
    """Return the number of client sockets of a port: https://docs.kernel.org/networking/proc_net_tcp.html."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == port and row[3] in OPEN for row in rows)
