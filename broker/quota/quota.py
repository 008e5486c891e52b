"""Enforces each user's daily limits of calls, tokens and nano-dollars.

A call is reserved before anything is spent. It is settled once OpenAI begins to answer and finished once it is over;
an unsettled call is given back. While Redis is unavailable calls are refused (503), because the limits are a promise
about money. With `USAGE_WITHOUT_REDIS=allow` each worker counts by itself within bounds and tells Redis later.

The metrics follow what Redis knows: a call is in flight until Redis has stored its end. So admitted = settled + given
back + lapsed + in flight at any time; lapsed calls are those whose worker died.
"""

from collections.abc import Callable

from broker.caller import Caller
from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.errors.limits import CallerBlocked
from broker.quota import scripts
from broker.quota.budgets.limits import Limits
from broker.quota.budgets.tenant_fuse import TenantFuse
from broker.quota.budgets.usage_levels import DailyUsage, unknown_usage, usage_of
from broker.quota.calls.keys import day_at
from broker.quota.calls.ledger import CallLedger
from broker.quota.calls.records import LEAST, CallRecord, CallRecords, Demand
from broker.quota.calls.reservation import Amounts, Refusal, Reservation
from broker.quota.local_fallback import LocalCounts
from broker.quota.redis_clients.failures import Failure
from broker.quota.redis_store import UNINTERRUPTED, Store, Waiting
from broker.quota.write_queue import WriteQueue
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics

LIMITS = {scripts.OVER_CALLS: "calls", scripts.OVER_TOKENS: "tokens", scripts.OVER_SPEND: "spend"}
OVER = {0: (), 1: ("tokens",), 2: ("spend",), 3: ("tokens", "spend")}  # by RESERVE's last number


class Quota:
    """The count of every user's day. Built before the fork; connects with the first call."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        clock: Callable[[], float],
        background: Background | None = None,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        background = background or Background()
        self._records = CallRecords(settings, clock)
        self._store = store
        self._metrics = metrics
        self._writes = WriteQueue(store, background)
        self._local = _local_counts(settings)
        self.fuse = TenantFuse(settings, store, metrics, lambda: day_at(self._records.now()))
        self._ledger = CallLedger(store, self._writes, metrics, self.fuse, settings.free_abandoned_calls)
        self._background = background

    def reserve(
        self, caller: Caller, demand: Demand = LEAST, waiting: Waiting = UNINTERRUPTED
    ) -> Reservation | Refusal:
        """Return a reservation for one call, or the limit that refuses it.

        Raises `CallerBlocked`, and `UsageUnavailable` if Redis does not answer and is required; a call that Redis may
        have counted is given back once it answers.
        Raises what interrupts `waiting`; then nothing is reserved.
        """
        record = self._records.new(caller)
        arguments = self._records.reserve_arguments(record, demand)
        try:
            answer, *levels = self._store.run(scripts.RESERVE, arguments, waiting=waiting)
        except UsageUnavailable as fault:
            return self._reserve_without_redis(record, demand, fault)
        if answer == scripts.WRONG_DAY:
            self._records.correct_clock(levels[0])
            return self.reserve(caller, demand, waiting)
        _refuse_blocked(answer)
        *levels, output, over = levels
        usage = usage_of(record, levels)
        if answer == scripts.NO_PLACE:
            return Refusal("places", usage)
        for limit in OVER[over]:
            self._metrics.budgets.refused(limit, is_watched=answer == scripts.ADMITTED)
        if answer in LIMITS:
            return Refusal(LIMITS[answer], usage)
        outcome = self._ledger.admit(record, usage, (output, _amounts(demand, output)))
        if isinstance(outcome, Reservation):
            outcome.watched += OVER[over]
        return outcome

    def daily_usage(self, caller: Caller) -> DailyUsage:
        """Return a user's usage of the day. Raises `UsageUnavailable` and `CallerBlocked`."""
        record = self._records.new(caller)
        answer, *levels = self._store.run(scripts.READ, (*record.arguments, record.day.number))
        if answer == scripts.WRONG_DAY:
            self._records.correct_clock(levels[0])
            return self.daily_usage(caller)
        _refuse_blocked(answer)
        return usage_of(record, levels[:-2])

    def limits_of(self, caller: Caller) -> Limits:
        """Return a user's limits."""
        return self._records.limits_of(caller)

    def seconds_until(self, time: float) -> float:
        """Return the seconds until a Unix time, by the clock that decides the day."""
        return time - self._records.now()

    def write_later(self, script: str, arguments: tuple[object, ...], keys: int) -> None:
        """Queue an idempotent script, to be run once Redis answers."""
        self._writes.put(script, arguments, keys=keys)

    def start(self) -> None:
        """Start the background work."""
        self._writes.start()
        if self.fuse.limit is not None:
            self._background.run("tenant budget", self.fuse.keep_reporting)

    def check(self) -> None:
        """Raises `UsageUnavailable` if Redis does not answer or refuses writes."""
        self._store.probe()

    @property
    def failure(self) -> Failure | None:
        """Why Redis is unavailable."""
        return self._store.failure

    def close(self, within: float = 2.0) -> None:
        """Wait at most `within` seconds until all queued writes are done."""
        self.fuse.report(is_last=True)
        self._writes.close(within)

    def _reserve_without_redis(
        self, record: CallRecord, demand: Demand, fault: UsageUnavailable
    ) -> Reservation | Refusal:
        local, limits = self._local, record.limits
        amounts = _amounts(demand, demand.output_tokens)
        used = local.admit(record.day, record.caller_id, limits, amounts) if local else None
        if used is not None:
            return self._ledger.admit(record, unknown_usage(record, used), (demand.output_tokens, amounts), local)
        if isinstance(fault, UsageUncertain):
            self._ledger.give_back(record)
        if local and local.used(record.day, record.caller_id) >= limits.calls:
            return Refusal("calls", unknown_usage(record, limits.calls))
        raise fault


def _local_counts(settings: Settings) -> LocalCounts | None:
    if settings.usage_without_redis != "allow":
        return None
    return LocalCounts(settings.web_concurrency, is_watching=settings.budgets == "watch")


def _refuse_blocked(answer: int) -> None:
    if answer == scripts.BLOCKED:
        raise CallerBlocked


def _amounts(demand: Demand, output_tokens: int) -> Amounts:
    return demand.input_tokens + output_tokens, demand.cost(output_tokens)
