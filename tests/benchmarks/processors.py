"""Processor affinity: the contestant has its own processor, all else shares the others."""

import contextlib
import os
from collections.abc import Iterator

ALL = sorted(os.sched_getaffinity(0))
CONTESTANT = {ALL[-1]}
REST = set(ALL[:-1]) or CONTESTANT


@contextlib.contextmanager
def running_on(processors: set[int]) -> Iterator[None]:
    """Processes started in this block, and their descendants, run on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
