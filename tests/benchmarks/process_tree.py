"""Processor time and memory of a process and all that it started, as Linux counts them.

https://docs.kernel.org/filesystems/proc.html
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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

    def alone_bytes(self) -> int:
        """What its PSS would be if no other program had the same files mapped (another Python, say)."""
        files: Counter[str] = Counter()
        for pid in self.pids():
            files |= _mapped_files(pid)  # the larger of both
        return files.total() + sum(_rollup(pid, "Pss_Anon") for pid in self.pids())


def _thread_seconds(pid: int) -> float:
    # schedstat counts in ns, where stat counts in ticks of 10 ms
    return sum(int(path.read_text().split()[0]) for path in PROC.glob(f"{pid}/task/*/schedstat")) / 1e9


def _rollup(pid: int, name: str) -> int:
    return _sizes((PROC / str(pid) / "smaps_rollup").read_text())[name]


def _sizes(lines: str) -> dict[str, int]:
    return {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+): +(\d+) kB$", lines, re.MULTILINE)}


def _mapped_files(pid: int) -> Counter[str]:
    """Bytes in memory of each mapped part of a file, those left out that the process has made its own."""
    found: Counter[str] = Counter()
    smaps = (PROC / str(pid) / "smaps").read_text()
    for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE)[1:]:
        _, _, offset, *file = mapping.partition("\n")[0].split(maxsplit=5)
        size = _sizes(mapping)
        found[" ".join([offset, *file])] += size["Rss"] - size["Anonymous"]
    return found
