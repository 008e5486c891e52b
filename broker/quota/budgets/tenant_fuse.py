"""TENANT_DAILY_SPEND: the budget of all users together for a UTC day.

Workers hold slices of the budget, so a call rarely needs a script of its own and no key of a cluster is hot. The
unreported spend of a worker that dies is lost; a worker reports once it has spent a slice. The day's spend therefore
exceeds the budget by at most replicas × workers × slice, plus the charges of calls in flight. While Redis is
unavailable a worker spends its slice, and then refuses.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.errors.limits import TenantBudgetExhausted
from broker.quota.budgets import fuse_script
from broker.quota.calls.keys import GRACE, Day
from broker.quota.redis_store import Store
from broker.settings.prices import NANO
from broker.settings.settings import Settings
from broker.telemetry.metrics import Metrics

REPORT_INTERVAL = 5.0  # seconds between a worker's reports of its spend
DENIAL = 1.0  # seconds for which a worker does not ask again for money that it did not get
SHARE = 100  # without TENANT_SPEND_SLICE, a slice is the budget divided by this


@dataclass(slots=True)
class _Slice:
    """This worker's slice of a day's budget, in nano-dollars."""

    day: Day
    held: int = 0
    unreported: int = 0
    in_flight: int = 0

    @property
    def left(self) -> int:
        return self.held - self.unreported - self.in_flight


class TenantFuse:
    """One worker's part of the fuse. Built before the fork. Without a limit it does nothing."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics, today: Callable[[], Day]) -> None:
        self.limit = settings.tenant_daily_spend
        self.slice = settings.tenant_spend_slice or max(1, (self.limit or 0) // SHARE)
        self.workers = settings.web_concurrency
        self.spent = 0  # by all, as of the last exchange
        self._has_refused = False
        self._is_watching = settings.budgets == "watch"
        self._project = quote(settings.supabase_url.partition("://")[2], safe="")
        self._store = store
        self._metrics = metrics
        self._today = today
        self._worker = ""
        self._number = 0
        self._denied, self._denied_until = 0, 0.0
        self._unanswered: tuple[_Slice, tuple[Any, ...], int] | None = None
        self._slice = _Slice(Day("", 0))
        self._lock = threading.Lock()
        if self.limit is not None:
            metrics.budgets.tenant_budget.set(self.limit / NANO)

    @property
    def worst_overspend(self) -> int:
        """Nano-dollars by which one replica's workers may exceed the budget when they die."""
        return self.workers * self.slice

    @property
    def is_burnt(self) -> bool:
        """Whether the budget is spent, as far as this worker knows."""
        return self.limit is not None and (self._has_refused or self.spent >= self.limit)

    def summary(self) -> dict[str, float] | None:
        """Return the budget, the spend and one replica's possible overspend, in dollars; None without a budget."""
        if self.limit is None:
            return None
        amounts = {"limit": self.limit, "spent": self.spent, "worst_overspend_of_a_replica": self.worst_overspend}
        return {name: amount / NANO for name, amount in amounts.items()}

    def take(self, nano: int) -> bool:
        """Reserve nano-dollars for a call; return whether only BUDGETS=watch lets it through.

        `settle` ends the reservation, also after a fault.
        Raises `TenantBudgetExhausted`, or `UsageUnavailable` if a slice is needed and Redis does not answer; neither
        with BUDGETS=watch.
        """
        if self.limit is None:
            return False
        with self._lock:
            self._turn_day()
            self._slice.in_flight += nano
            with self._unless_watching():
                self._fill()
            self._has_refused = self._slice.left < 0
            if self._has_refused:
                self._refuse()
            return self._has_refused

    def settle(self, reserved: int, charged: int) -> None:
        """Replace a call's reservation by its cost, in nano-dollars."""
        self._slice.in_flight = max(0, self._slice.in_flight - reserved)
        self._slice.unreported += charged
        if self._slice.unreported >= self.slice:  # the most that may be lost with this worker
            self.report()

    def report(self, *, is_last: bool = False) -> None:
        """Report the spend to Redis and return the surplus over one slice; the last report returns everything."""
        if self.limit is None or not self._worker:
            return
        with self._lock:
            self._turn_day()
            kept = 0 if is_last else self.slice
            self._exchange(wanted=min(0, kept - self._slice.left))

    def keep_reporting(self) -> None:
        """Report periodically, in a background task."""
        while True:
            time.sleep(REPORT_INTERVAL)
            self.report()

    def _fill(self) -> None:
        """Get the money that the slice lacks, unless as much was denied a moment ago.

        So calls on a spent budget send no message each: the key would be hot.
        """
        lack = -self._slice.left
        if lack <= 0 or (lack >= self._denied and time.monotonic() < self._denied_until):
            return
        for _ in range(2):  # the first reply may report that the slice lapsed during an outage of Redis
            if self._slice.left < 0:
                self._exchange(wanted=max(self.slice, -self._slice.left))
        if self._slice.left < 0:
            self._denied, self._denied_until = -self._slice.left, time.monotonic() + DENIAL

    def _unless_watching(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that raises `UsageUnavailable`, unless the budget is only watched."""
        return contextlib.suppress(UsageUnavailable) if self._is_watching else contextlib.nullcontext()

    def _refuse(self) -> None:
        self._metrics.budgets.refused("tenant", is_watched=self._is_watching)
        if not self._is_watching:
            raise TenantBudgetExhausted

    def _turn_day(self) -> None:
        today = self._today()
        if self._slice.day != today:
            # what calls in flight will cost is charged to the new day
            self._slice = _Slice(today, in_flight=self._slice.in_flight)
            self.spent, self._has_refused, self._denied_until = 0, False, 0.0

    def _exchange(self, wanted: int) -> None:
        """Send one message, after repeating the last one if its outcome is unknown: a repeated message counts once.

        Raises `UsageUnavailable` if Redis does not answer and `wanted` is positive.
        """
        self._worker = self._worker or secrets.token_urlsafe(6)
        try:
            if self._unanswered:
                self._send(*self._unanswered)
            self._number += 1
            self._send(self._slice, self._arguments(wanted), self._slice.unreported)
        except UsageUnavailable:
            if wanted > 0:
                raise

    def _send(self, owner: _Slice, arguments: tuple[Any, ...], reported: int) -> None:
        try:
            answer, *levels = self._store.run(fuse_script.EXCHANGE, arguments, keys=2)
        except UsageUncertain:
            self._unanswered = (owner, arguments, reported)
            raise
        self._unanswered = None
        if answer == 1:
            owner.held, self.spent, _ = levels
            owner.unreported -= reported
            self._metrics.budgets.tenant_spend.set(self.spent / NANO)

    def _arguments(self, wanted: int) -> tuple[Any, ...]:
        day, tenant = self._slice.day, f"gpt-broker:{{{self._project}:tenant}}"
        keys = (f"{tenant}:spend:{day.name}", f"{tenant}:holders:{day.name}")
        expiry = day.ends_at + GRACE
        spent = self._slice.unreported
        return (*keys, self._worker, fuse_script.HOLD, expiry, day.number, self.limit, self._number, spent, wanted)
