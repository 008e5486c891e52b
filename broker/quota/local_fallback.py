"""One worker's count of the day while Redis is unavailable (USAGE_WITHOUT_REDIS=allow). Pure, and bounded.

Each worker admits its share of each of a user's limits, once a day, however often Redis fails. So all workers together
admit at most the limit (rounded up to a multiple of their number) on top of what Redis had counted.

Around midnight two days have calls: those that began before it end after it. Their end leaves the new day as it is.
"""

import math
from dataclasses import dataclass, field

from broker.quota.budgets.limits import Limits
from broker.quota.calls.keys import Day

MAX_CALLS = 100_000  # calls a day that a worker remembers; beyond, it refuses
KEPT_DAYS = 2  # the current day, and the one that was current before it


@dataclass(slots=True)
class _Count:
    """Calls, tokens and nano-dollars of each user, and the calls of all."""

    used: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    total: int = 0


class LocalCounts:
    """One worker's count of each day: calls, tokens and nano-dollars of each user."""

    def __init__(self, workers: int, *, is_watching: bool = False) -> None:
        """`workers`: how many processes share the limits. `is_watching`: tokens and money are not limited."""
        self._workers = workers
        self._is_watching = is_watching
        self._days: dict[Day, _Count] = {}

    def admit(self, day: Day, caller_id: str, limits: Limits, amounts: tuple[int, int] = (0, 0)) -> int | None:
        """Count one call with its tokens and nano-dollars; return the user's calls, None if it is not admitted."""
        count = self._of(day)
        used = count.used.get(caller_id, (0, 0, 0))
        wanted = (used[0] + 1, used[1] + amounts[0], used[2] + amounts[1])
        allowed = (limits.calls, None, None) if self._is_watching else (limits.calls, limits.tokens, limits.spend)
        shares = [math.inf if limit is None else math.ceil(limit / self._workers) for limit in allowed]
        is_over = any(amount > share for amount, share in zip(wanted, shares, strict=True))
        if count.total >= MAX_CALLS or (is_over and not limits.is_exempt):
            return None
        count.used[caller_id] = wanted
        count.total += 1
        return wanted[0]

    def used(self, day: Day, caller_id: str) -> int:
        """Return the user's calls of the day."""
        return self._of(day).used.get(caller_id, (0, 0, 0))[0]

    def correct(self, day: Day, caller_id: str, calls: int, amounts: tuple[int, int]) -> None:
        """Correct a user's counts of the day when a call ends. `calls` and `amounts` are differences."""
        count = self._days.get(day, _Count())
        if caller_id in count.used:
            used = count.used[caller_id]
            count.used[caller_id] = (used[0] + calls, used[1] + amounts[0], used[2] + amounts[1])
            count.total += calls

    def _of(self, day: Day) -> _Count:
        if day not in self._days:
            for oldest in list(self._days)[: 1 - KEPT_DAYS]:
                del self._days[oldest]
            self._days[day] = _Count()
        return self._days[day]
