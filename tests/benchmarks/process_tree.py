"""Processor time and memory of a process and its descendants, from Linux's counters.

https://docs.kernel.org/filesystems/proc.html
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessTree:
    """A process and its descendants."""

    root: int

    def pids(self) -> list[int]:
        """Return the ids of the living processes."""
        found, waiting = [], [self.root]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in PROC.glob(f"{pid}/task/*/children"):
                waiting.extend(int(child) for child in children.read_text().split())
        return found

    def processor_seconds(self) -> float:
        """Return the user and kernel time of the living processes so far."""
        return sum(_thread_seconds(pid) for pid in self.pids())

    def pss_bytes(self) -> int:
        """Return the proportional set size: private memory plus a share of shared memory."""
        return sum(_rollup(pid, "Pss") for pid in self.pids())

    def alone_bytes(self) -> int:
        """Return the PSS as if no other program mapped the same files, such as another Python."""
        files: Counter[str] = Counter()
        for pid in self.pids():
            files |= _mapped_files(pid)  # the larger one
        return files.total() + sum(_rollup(pid, "Pss_Anon") for pid in self.pids())


def _thread_seconds(pid: int) -> float:
    # schedstat counts in ns, stat in ticks of 10 ms
    return sum(int(path.read_text().split()[0]) for path in PROC.glob(f"{pid}/task/*/schedstat")) / 1e9


def _rollup(pid: int, name: str) -> int:
    return _sizes((PROC / str(pid) / "smaps_rollup").read_text())[name]


def _sizes(lines: str) -> dict[str, int]:
    return {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+): +(\d+) kB$", lines, re.MULTILINE)}


def _mapped_files(pid: int) -> Counter[str]:
    """Return the resident bytes of each mapped file region without private copies."""
    found: Counter[str] = Counter()
    smaps = (PROC / str(pid) / "smaps").read_text()
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE)[1:]:
        _, _, offset, *file = mapping.partition("\n")[0].split(maxsplit=5)
        size = _sizes(mapping)
        found[" ".join([offset, *file])] += size["Rss"] - size["Anonymous"]
    return found
