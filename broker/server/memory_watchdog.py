"""Replaces a worker that uses more memory than it may. The worker stops as on SIGTERM; the master starts another.

An only worker is replaced before it stops: the master adds a worker on SIGTTIN and removes the oldest
on SIGTTOU (https://docs.gunicorn.org/en/stable/signals.html).
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from broker.telemetry.background import Background

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two checks
STARTING = 3.0  # seconds that a new worker has to start
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class MemoryWatchdog:
    """Checks this worker's memory at intervals. Start it after the fork."""

    def __init__(self, limit: int, *, is_alone: bool, announce: Callable[[], object]) -> None:
        """`limit`: in bytes, 0 for none; `is_alone`: this is the only worker; `announce`: called before it stops."""
        self._limit = limit
        self._is_alone = is_alone
        self._announce = announce

    def start(self, background: Background) -> None:
        """Start checking in the background."""
        if self._limit:
            background.run("memory watchdog", self._watch)

    def _watch(self) -> None:
        while (size := resident()) <= self._limit:
            time.sleep(EVERY)
        log.warning("worker exceeds its memory limit and is replaced", extra={"bytes": size, "limit": self._limit})
        self._announce()
        if self._is_alone:
            os.kill(os.getppid(), signal.SIGTTIN)
            time.sleep(STARTING)
            os.kill(os.getppid(), signal.SIGTTOU)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
