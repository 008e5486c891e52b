"""Waiting for a condition, with a limit."""

import time
from collections.abc import Callable


def within(seconds: float, holds: Callable[[], object]) -> float:
    """Wait until `holds()` is true and return how many seconds that took. Fails after `seconds`."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - start
