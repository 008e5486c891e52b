"""Which processors a program may run on: the contestant has one for itself, all else shares the others."""

import contextlib
import os
from collections.abc import Iterator

ALL = sorted(os.sched_getaffinity(0))
CONTESTANT = {ALL[-1]}
REST = set(ALL[:-1]) or CONTESTANT


@contextlib.contextmanager
def running_on(processors: set[int]) -> Iterator[None]:
    """What is started within runs on these processors, with all that it starts itself."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
