"""Records the end of admitted calls: in Redis, in the metrics, and against the tenant's fuse."""

import functools
from typing import Any

from broker.errors.base import Fault, UsageUnavailable
from broker.errors.limits import TenantBudgetExhausted
from broker.quota import scripts
from broker.quota.budgets.tenant_fuse import TenantFuse
from broker.quota.budgets.usage_levels import DailyUsage
from broker.quota.calls.records import CallRecord
from broker.quota.calls.reservation import NOTHING, Amounts, Refusal, Reservation
from broker.quota.local_fallback import LocalCounts
from broker.quota.redis_store import Store
from broker.quota.write_queue import WriteQueue
from broker.telemetry.metrics import Metrics


class CallLedger:
    """Records the calls of one worker. Failed writes to Redis are retried in the background."""

    def __init__(
        self, store: Store, writes: WriteQueue, metrics: Metrics, fuse: TenantFuse, free_abandoned: int
    ) -> None:
        """`free_abandoned`: calls a day that are free for a user who abandons them before the first text."""
        self._store = store
        self._writes = writes
        self._metrics = metrics
        self._fuse = fuse
        self._free_abandoned = free_abandoned

    def admit(
        self, record: CallRecord, usage: DailyUsage, covers: tuple[int, Amounts], local: LocalCounts | None = None
    ) -> Reservation | Refusal:
        """Return the reservation of a counted call, or the refusal if the tenant's budget is spent.

        `local`: the worker's own count, if Redis did not count the call. Raises `UsageUnavailable` if the tenant's fuse
        needs Redis and it does not answer.
        """
        self._metrics.call_admitted(covers[1])
        self._writes.add_lease(record.id, record.arguments)
        reservation = Reservation(self, record, usage, covers, local)
        try:
            if self._fuse.take(covers[1][1]):
                reservation.watched += ("tenant",)
        except Fault as fault:
            reservation.finish(NOTHING)
            if isinstance(fault, TenantBudgetExhausted):
                return Refusal("tenant", reservation.daily_usage)
            raise
        return reservation

    def settle(self, reservation: Reservation) -> None:
        """Count a call for good. Returns at once."""
        on_written = functools.partial(self._note_counted, reservation)
        self._writes.put(scripts.SETTLE, reservation.record.arguments, on_written)

    def finish(self, reservation: Reservation, outcome: int, charged: Amounts) -> bool:
        """End a call; return whether it counts. If Redis does not answer, an abandoned call is given back."""
        record, counts = reservation.record, outcome == scripts.CHARGE
        self._writes.drop_lease(record.id)
        if counts and not record.has_place:
            self._write_end(reservation, outcome, charged)
        else:
            counts = self._finish_now(reservation, outcome, charged)
        taken = charged if counts else NOTHING
        if reservation.local:
            rest = (taken[0] - reservation.amounts[0], taken[1] - reservation.amounts[1])
            reservation.local.correct(record.day, record.caller_id, 0 if counts else -1, rest)
        self._fuse.settle(reservation.amounts[1], charged[1])
        return counts

    def give_back(self, record: CallRecord) -> None:
        """Undo a call that Redis may have counted before it failed to answer."""
        self._writes.put(scripts.FINISH, self._arguments(record, scripts.GIVE_BACK, NOTHING))

    def _finish_now(self, reservation: Reservation, outcome: int, charged: Amounts) -> bool:
        try:
            arguments = self._arguments(reservation.record, outcome, charged)
            counts = bool(self._store.run(scripts.FINISH, arguments))
        except UsageUnavailable:
            counts = outcome == scripts.CHARGE
            self._write_end(reservation, outcome if counts else scripts.GIVE_BACK, charged)
        else:
            self._note_end(reservation, charged, counts=counts)
        return counts

    def _write_end(self, reservation: Reservation, outcome: int, charged: Amounts) -> None:
        arguments = self._arguments(reservation.record, outcome, charged)
        counts = outcome == scripts.CHARGE
        self._writes.put(
            scripts.FINISH, arguments, functools.partial(self._note_end, reservation, charged, counts=counts)
        )

    def _arguments(self, record: CallRecord, outcome: int, charged: Amounts) -> tuple[Any, ...]:
        return (*record.arguments, outcome, *charged, self._free_abandoned)

    def _note_end(self, reservation: Reservation, charged: Amounts, *, counts: bool) -> None:
        """Note that Redis has stored the end of a call."""
        if counts:
            self._note_counted(reservation)
        else:
            self._metrics.calls_given_back.inc()
            self._metrics.calls_in_flight.dec()
        self._metrics.budgets.settled(reservation.amounts, charged if counts else NOTHING)

    def _note_counted(self, reservation: Reservation) -> None:
        if not reservation.is_noted:
            reservation.is_noted = True
            self._metrics.calls_settled.inc()
            self._metrics.calls_in_flight.dec()
