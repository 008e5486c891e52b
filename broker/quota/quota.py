"""Who has made how many calls today.

A call is reserved before anything is spent, and then either settled (OpenAI began to answer) or
given back, once. When Redis is away, by default nobody is let through (503): the limit is a promise
about money. With `USAGE_WITHOUT_REDIS=allow`, each worker counts by itself within bounds, and tells
Redis when it is back.

The counters follow what Redis knows: a call is in flight until Redis has its end written down. So
admitted = settled + given back + lapsed + in flight, at any time; lapsed are those whose worker died.
"""

from collections.abc import Callable
from dataclasses import dataclass

from broker.caller import Caller
from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.errors.limits import TooManyCallsInFlight
from broker.quota import scripts
from broker.quota.local_fallback import LocalCounts
from broker.quota.records import CallRecord, CallRecords
from broker.quota.redis_store import UNINTERRUPTED, Store, Waiting
from broker.quota.write_queue import WriteQueue
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class DailyUsage:
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

    __slots__ = ("_quota", "_record", "daily_usage", "is_local", "open")

    def __init__(self, quota: "Quota", record: CallRecord, daily_usage: DailyUsage, *, is_local: bool) -> None:
        self._quota = quota
        self._record = record
        self.daily_usage = daily_usage
        self.is_local = is_local
        self.open = True

    def settle(self) -> None:
        """OpenAI began to answer. Returns at once; Redis hears of it within moments, or when it is back.

        An answer that was still on its way when the client left, so that nobody has read of it, costs nothing.
        """
        if self.open:
            self.open = False
            self._quota.settle(self._record)

    def give_back(self) -> None:
        """Nothing was answered, and the call costs nothing. Redis knows when this returns, or when it is back."""
        if self.open:
            self.open = False
            self._quota.give_back(self._record, is_local=self.is_local)
            made = self.daily_usage
            self.daily_usage = DailyUsage(made.limit, made.used - 1, made.resets_at, made.exempt)

    def leave(self) -> None:
        """Nobody reads the answer any more, or it is complete: the call takes no place. May be called twice."""
        self._quota.leave(self._record)


class Quota:
    """The count of every user's calls of the day. Built before the fork; connects with the first call."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        clock: Callable[[], float],
        background: Background | None = None,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        self._records = CallRecords(settings, clock)
        self._store = store
        self._metrics = metrics
        self._writes = WriteQueue(store, background or Background())
        self._local = LocalCounts(settings.web_concurrency) if settings.usage_without_redis == "allow" else None

    def reserve(self, caller: Caller, waiting: Waiting = UNINTERRUPTED) -> Reservation | DailyUsage:
        """A reservation for one call, or the daily usage of a user who has none left.

        Raises `TooManyCallsInFlight`, and `UsageUnavailable` where Redis does not answer and may not be
        done without; should it have counted the call all the same, that is taken back once it answers.
        What breaks into `waiting` is raised before Redis is asked, and nothing is reserved.
        """
        record = self._records.new(caller)
        try:
            admitted, used = self._store.run(scripts.RESERVE, record.arguments, waiting=waiting)
        except UsageUnavailable as away:
            return self._reserve_without_redis(record, away)
        if admitted < 0:
            raise TooManyCallsInFlight(retry_after=1)
        return self._admit(record, used, is_local=False) if admitted else _daily_usage(record, used)

    def daily_usage(self, caller: Caller) -> DailyUsage:
        """How a user stands today. Raises `UsageUnavailable`."""
        record = self._records.new(caller)
        return _daily_usage(record, self._store.run(scripts.COUNT, record.arguments[:1], keys=1))

    def settle(self, record: CallRecord) -> None:
        """Of `Reservation`: count the call for good."""
        if not record.has_place:
            self._writes.drop_lease(record.id)
        self._writes.put(scripts.SETTLE, record.arguments, self._note_settled)

    def give_back(self, record: CallRecord, *, is_local: bool) -> None:
        """Of `Reservation`: take the call back, before the client can ask again."""
        self._writes.drop_lease(record.id)
        if is_local and self._local:
            self._local.give_back(record.day, record.caller_id)
        try:
            self._store.run(scripts.GIVE_BACK, record.arguments)
        except UsageUnavailable:
            self._writes.put(scripts.GIVE_BACK, record.arguments, self._note_given_back)
        else:
            self._note_given_back()

    def leave(self, record: CallRecord) -> None:
        """Of `Reservation`: make room for another call of the user's."""
        self._writes.drop_lease(record.id)
        if record.has_place:
            self._writes.put(scripts.LEAVE, record.arguments)

    def start(self) -> None:
        """Look after Redis in the background."""
        self._writes.start()

    def check(self) -> None:
        """Raises `UsageUnavailable` where Redis does not answer, or takes nothing."""
        self._store.probe()

    def close(self, within: float = 2.0) -> None:
        """Tell Redis what it does not know yet, in at most `within` seconds."""
        self._writes.close(within)

    def _reserve_without_redis(self, record: CallRecord, away: UsageUnavailable) -> Reservation | DailyUsage:
        local = self._local
        used = local.admit(record.day, record.caller_id, record.limit, exempt=record.exempt) if local else None
        if used is not None:
            return self._admit(record, used, is_local=True)
        if isinstance(away, UsageUncertain):
            self._writes.put(scripts.GIVE_BACK, record.arguments)
            self.leave(record)
        if self._local and self._local.used(record.day, record.caller_id) >= record.limit:
            return _daily_usage(record, record.limit)
        raise away

    def _admit(self, record: CallRecord, used: int, *, is_local: bool) -> Reservation:
        self._metrics.calls_admitted.inc()
        self._metrics.calls_in_flight.inc()
        self._writes.add_lease(record.id, record.arguments)
        return Reservation(self, record, _daily_usage(record, used), is_local=is_local)

    def _note_settled(self) -> None:
        self._metrics.calls_settled.inc()
        self._metrics.calls_in_flight.dec()

    def _note_given_back(self) -> None:
        self._metrics.calls_given_back.inc()
        self._metrics.calls_in_flight.dec()


def _daily_usage(record: CallRecord, used: int) -> DailyUsage:
    return DailyUsage(record.limit, used, record.day.ends_at, record.exempt)
