"""Who has made how many calls today: the only commands to Redis.

A call is reserved before anything is spent, and then either settled (OpenAI began to answer) or
given back, once. When Redis is away nobody is let through (503): the limit is a promise about money.
"""

import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker import ledger
from broker.faults import UsageUnavailable
from broker.metrics import Metrics
from broker.settings import Settings
from broker.store import PAUSE, Store

RENEW_EVERY = 15.0  # seconds; a lease (60 s) outlives three missed renewals


@dataclass(frozen=True, slots=True)
class Standing:
    """A user's day: the limit, the calls made, the Unix time of the next day, and whether they are exempt."""

    limit: int
    used: int
    resets_at: int
    exempt: bool

    @property
    def remaining(self) -> int:
        """Calls left; for an exempt user always the whole limit."""
        return self.limit if self.exempt else max(0, self.limit - self.used)


class Reservation:
    """One call that was let through. The first of `settle` and `give_back` counts; the other does nothing."""

    __slots__ = ("_arguments", "_usage", "open", "standing")

    def __init__(self, usage: "Usage", arguments: tuple[Any, ...], standing: Standing) -> None:
        self._usage = usage
        self._arguments = arguments
        self.standing = standing
        self.open = True

    def settle(self) -> None:
        """OpenAI began to answer. Returns at once; Redis hears of it within moments, or when it is back."""
        if self.open:
            self.open = False
            self._usage.settle(self._arguments)

    def give_back(self) -> None:
        """Nothing was answered, and the call costs nothing. Redis knows when this returns, or when it is back."""
        if self.open:
            self.open = False
            self._usage.give_back(self._arguments)
            made = self.standing
            self.standing = Standing(made.limit, made.used - 1, made.resets_at, made.exempt)


class Usage:
    """The count of every user's calls of the day. Built before the fork; connects with the first call."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time in seconds."""
        self._limit = settings.daily_limit
        self._exempt = settings.id_white_list
        self._project = settings.supabase_url.partition("://")[2]
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._open: dict[str, tuple[Any, ...]] = {}
        self._unsent: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
        self._writer: threading.Thread | None = None

    def reserve(self, caller_id: str) -> Reservation | Standing:
        """A reservation for one call, or the standing of a user who has none left.

        Raises `UsageUnavailable` where Redis does not answer; if it counted the call all the same, the
        lease lapses within a minute.
        """
        day = ledger.day_at(self._clock())
        exempt = caller_id in self._exempt
        call_id = secrets.token_urlsafe(9)
        limit = -1 if exempt else self._limit
        key = ledger.key_of(self._project, caller_id, day)
        arguments = (key, limit, ledger.LEASE, call_id, day.ends_at + ledger.GRACE)
        admitted, used = self._store.run(ledger.RESERVE, arguments)
        standing = Standing(self._limit, used, day.ends_at, exempt)
        if not admitted:
            return standing
        self._open[call_id] = arguments
        self._metrics.calls_admitted.inc()
        return Reservation(self, arguments, standing)

    def standing(self, caller_id: str) -> Standing:
        """How a user stands today. Raises `UsageUnavailable`."""
        day = ledger.day_at(self._clock())
        used = self._store.run(ledger.COUNT, (ledger.key_of(self._project, caller_id, day),))
        return Standing(self._limit, used, day.ends_at, caller_id in self._exempt)

    def settle(self, arguments: tuple[Any, ...]) -> None:
        """Of `Reservation`: count the call for good."""
        self._open.pop(arguments[3], None)
        self._metrics.calls_settled.inc()
        self._send_later(ledger.SETTLE, arguments)

    def give_back(self, arguments: tuple[Any, ...]) -> None:
        """Of `Reservation`: take the call back, before the client can ask again."""
        self._open.pop(arguments[3], None)
        self._metrics.calls_given_back.inc()
        try:
            self._store.run(ledger.GIVE_BACK, arguments)
        except UsageUnavailable:
            self._send_later(ledger.GIVE_BACK, arguments)

    def check(self) -> None:
        """Raises `UsageUnavailable` where Redis does not answer."""
        self._store.run(ledger.COUNT, ("gpt-broker:{ready}",))

    def close(self, within: float = 2.0) -> None:
        """Tell Redis what it does not know yet, in at most `within` seconds."""
        end = time.monotonic() + within
        while self._unsent.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)

    def _send_later(self, script: str, arguments: tuple[Any, ...]) -> None:
        self._unsent.put((script, arguments))
        if self._writer is None or not self._writer.is_alive():
            self._writer = threading.Thread(target=self._write, name="usage-writer", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        """Send what is unsent, in order and for as long as it takes; and keep the open calls' leases alive."""
        renewed = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                self._deliver(*self._unsent.get(timeout=1.0))
                self._unsent.task_done()
            if time.monotonic() - renewed >= RENEW_EVERY:
                renewed = time.monotonic()
                for arguments in list(self._open.values()):
                    self._deliver(ledger.RENEW, arguments)

    def _deliver(self, script: str, arguments: tuple[Any, ...]) -> None:
        while True:
            try:
                self._store.run(script, arguments)
            except UsageUnavailable:
                time.sleep(PAUSE)
            else:
                return
