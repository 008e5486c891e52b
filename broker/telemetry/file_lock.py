"""A lock on the metrics' files: workers read all of them in a scrape, and the master merges those of dead workers.

It is a record lock (fcntl(2)), which belongs to a process, on a file that the workers inherit from the master.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator

_FILE = os.memfd_create("gpt-broker-metrics")


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Keep the files as they are. Waits some milliseconds for the master. No other greenlet may run inside."""
    fcntl.lockf(_FILE, fcntl.LOCK_SH)
    try:
        yield
    finally:
        fcntl.lockf(_FILE, fcntl.LOCK_UN)


@contextlib.contextmanager
def changing() -> Iterator[None]:
    """Change the files while no process reads them. Raises BlockingIOError if one does: the master never waits."""
    fcntl.lockf(_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        fcntl.lockf(_FILE, fcntl.LOCK_UN)
