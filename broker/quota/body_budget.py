"""Bounds the bytes of request bodies under way, per user and per worker, so that one user cannot fill the memory.

A body is counted from before it is read until its request ends: the call to OpenAI holds it for as long.
"""

from collections import Counter
from collections.abc import Callable

from broker.errors.limits import TooManyBytesInFlight, WorkerBusy


class BodyBudget:
    """The bodies of one worker."""

    def __init__(self, per_user: int, per_worker: int) -> None:
        """Both in bytes."""
        self._per_user = per_user
        self._per_worker = per_worker
        self._by_user: Counter[str] = Counter()
        self._total = 0

    def take(self, user: str, size: int) -> Callable[[], None]:
        """Count a body of `size` bytes; call the returned function once at its end.

        Raises `TooManyBytesInFlight` above the user's bound, `WorkerBusy` above the worker's.
        """
        if size and self._by_user[user] + size > self._per_user:
            raise TooManyBytesInFlight(retry_after=1, details={"limit": self._per_user})
        if size and self._total + size > self._per_worker:
            raise WorkerBusy(retry_after=1)
        self._by_user[user] += size
        self._total += size

        def release() -> None:
            self._total -= size
            self._by_user[user] -= size
            if not self._by_user[user]:
                del self._by_user[user]

        return release
