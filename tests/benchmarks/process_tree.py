"""Processor time and memory of a process and all that it started, as Linux counts them.

https://docs.kernel.org/filesystems/proc.html
"""

import os
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessTree:
    """A program: the process that was started, its children, and theirs."""

    root: int

    def pids(self) -> list[int]:
        """Its processes, those that live."""
        found, waiting = [], [self.root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in PROC.glob(f"{pid}/task/*/children"):
                waiting.extend(int(child) for child in children.read_text().split())
        return found

    def processor_seconds(self) -> float:
        """Processor time so far, in user space and in the kernel, of living processes."""
        return sum(_thread_seconds(pid) for pid in self.pids())

    def pss_bytes(self) -> int:
        """Proportional set size: memory of its own, and its share of what it shares."""
        return sum(_rollup(pid, "Pss") for pid in self.pids())


def _thread_seconds(pid: int) -> float:
    # schedstat counts in ns, where stat counts in ticks of 10 ms
    return sum(int(path.read_text().split()[0]) for path in PROC.glob(f"{pid}/task/*/schedstat")) / 1e9


def _rollup(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {name} for process {pid}")
