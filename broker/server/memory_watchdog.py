"""A worker that grows beyond what it may take is replaced: it goes as it would on SIGTERM, another comes.

A lone worker is replaced before it goes: the master is asked for one more (SIGTTIN), and then for
one less (SIGTTOU), which ends the oldest: https://docs.gunicorn.org/en/stable/signals.html.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

EVERY = 2.0  # seconds between two looks
STARTING = 3.0  # seconds that a new worker is given to start
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """What this process takes of the machine's memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class MemoryWatch:
    """Looks at this worker's memory now and then; `start` it after the fork."""

    def __init__(self, limit: int, *, is_alone: bool, announce: Callable[[], object]) -> None:
        """`limit`: in bytes, 0 for none; `is_alone`: this is the only worker; `announce`: called before it goes."""
        self._limit = limit
        self._is_alone = is_alone
        self._announce = announce

    def start(self) -> None:
        """Look from now on, in the background."""
        if self._limit:
            threading.Thread(target=self._watch, name="memory-watch", daemon=True).start()

    def _watch(self) -> None:
        while (size := resident()) <= self._limit:
            time.sleep(EVERY)
        log.warning("a worker takes too much memory and is replaced", extra={"bytes": size, "limit": self._limit})
        self._announce()
        if self._is_alone:
            os.kill(os.getppid(), signal.SIGTTIN)
            time.sleep(STARTING)
            os.kill(os.getppid(), signal.SIGTTOU)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
