"""Waiting for what has to happen soon."""

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], object]) -> float:
    """Return, as soon as `holds` does, how many seconds that took; fail after `seconds`."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - start
