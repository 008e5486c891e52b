"""How long processes were ready to run while others had the processors: a slow machine is not a slow broker."""

import contextlib
import os
import time
from collections.abc import Iterable

NANOSECOND = 1e-9


def starved(pids: Iterable[int | str]) -> float:
    """Return the seconds for which threads of these processes have waited for a processor (schedstat, proc(5))."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/task") as threads:  # the process may have ended
            total += sum(_starved(f"{thread.path}/schedstat") for thread in threads)
    return total * NANOSECOND


def _starved(path: str) -> int:
    """Nanoseconds of one thread. Each call of a load asks for all threads, so this must take microseconds."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:  # the thread has ended
        return 0
    try:
        return int(os.read(file, 100).split()[1])
    except (OSError, IndexError):
        return 0
    finally:
        os.close(file)


class Stopwatch:
    """Measures seconds without those for which this process or one of `pids` waited for a processor.

    On an idle machine that is the time on the clock.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids: tuple[int | str, ...] = ("self", *pids)
        self.restart()

    def restart(self) -> None:
        """Start at 0."""
        self._starved, self._began = starved(self._pids), time.monotonic()

    def seconds(self) -> float:
        """The seconds since the start."""
        took = time.monotonic() - self._began
        return max(0.0, took - (starved(self._pids) - self._starved))
