"""The day's calls as one worker counts them by itself, while Redis is away. Pure, and bounded.

A worker lets each user make its share of the day's limit, once a day, however often Redis goes and
comes. So the workers together let a user make at most the limit (rounded up to a multiple of their
number) on top of what Redis had counted: that is the worst that it can cost.
"""

import math

from broker.quota.scripts import Day

MAX_CALLS = 100_000  # a worker remembers this many calls a day that Redis has not counted; over it, it refuses


class LocalCounts:
    """One worker's own counts of the present day."""

    def __init__(self, workers: int) -> None:
        """`workers`: how many count like this one."""
        self._workers = workers
        self._day: Day | None = None
        self._used: dict[str, int] = {}
        self._total = 0

    def admit(self, day: Day, caller_id: str, limit: int, *, exempt: bool = False) -> int | None:
        """The user's calls with this one, which is counted; None where it may not be made."""
        used = self.used(day, caller_id)
        if self._total >= MAX_CALLS or (used >= math.ceil(limit / self._workers) and not exempt):
            return None
        self._used[caller_id] = used + 1
        self._total += 1
        return used + 1

    def used(self, day: Day, caller_id: str) -> int:
        """The user's calls of the day."""
        if day != self._day:
            self._day, self._used, self._total = day, {}, 0
        return self._used.get(caller_id, 0)

    def give_back(self, day: Day, caller_id: str) -> None:
        """A call that was counted cost nothing."""
        if self.used(day, caller_id):
            self._used[caller_id] -= 1
            self._total -= 1
