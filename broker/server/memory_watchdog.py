"""Asks for the replacement of a worker that uses more memory than it may. The master starts another one first."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from broker.telemetry.background import Background

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two checks
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class MemoryWatchdog:
    """Checks this worker's memory at intervals. Start it after the fork."""

    def __init__(self, limit: int, request_replacement: Callable[[int], bool]) -> None:
        """`limit`: in bytes, 0 for none; `request_replacement`: returns False while another worker is replaced."""
        self._limit = limit
        self._request_replacement = request_replacement

    def start(self, background: Background) -> None:
        """Start checking in the background."""
        if self._limit:
            background.run("memory watchdog", self._watch)

    def _watch(self) -> None:
        while (size := resident()) <= self._limit or not self._request_replacement(os.getpid()):
            time.sleep(EVERY)
        log.warning("worker exceeds its memory limit and is replaced", extra={"bytes": size, "limit": self._limit})
