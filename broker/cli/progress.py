"""A progress bar on stderr for commands that look through many keys.

click's bar draws on a terminal only; in a container that `docker exec` runs the command in, stderr is a pipe to one.
"""

import sys
import time
from typing import TextIO

LEAST = 5_000  # keys; fewer take too little time for a bar
INTERVAL = 0.1  # seconds between two drawings
WIDTH = 30  # characters


class Progress:
    """`[#####.....] 50 %  1,234 users`, drawn over itself."""

    def __init__(self, total: int, *, is_shown: bool, stream: TextIO | None = None) -> None:
        """`total`: keys to look at, roughly, as others may be written meanwhile."""
        self._total = max(1, total)
        self._is_shown = is_shown and total >= LEAST
        self._stream = stream or sys.stderr
        self._drawn_at = 0.0

    def show(self, done: int, found: int) -> None:
        """Draw the state: keys looked at and users found so far."""
        now = time.monotonic()
        if self._is_shown and now - self._drawn_at >= INTERVAL:
            self._drawn_at = now
            share = min(1.0, done / self._total)
            bar = ("#" * round(share * WIDTH)).ljust(WIDTH, ".")
            self._write(f"\r[{bar}] {share:4.0%}  {found:,} users")

    def end(self) -> None:
        """Remove the bar."""
        if self._is_shown:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
