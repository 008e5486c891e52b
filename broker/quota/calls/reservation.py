"""The result of asking for a call: a reservation or a refusal."""

from dataclasses import dataclass
from typing import Protocol

from broker.quota import scripts
from broker.quota.budgets.usage_levels import DailyUsage
from broker.quota.calls.records import CallRecord
from broker.quota.local_fallback import LocalCounts

Amounts = tuple[int, int]  # tokens and nano-dollars
NOTHING: Amounts = (0, 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The limit that refuses a call, and the user's day.

    `limit`: "calls", "tokens", "spend", "places" in flight, or "tenant", the budget of all users together.
    """

    limit: str
    daily_usage: DailyUsage


class Ledger(Protocol):
    """Records the end of a reservation."""

    def settle(self, reservation: "Reservation") -> None:
        """Count the call for good."""

    def finish(self, reservation: "Reservation", outcome: int, charged: Amounts) -> bool:
        """End the call; return whether it counts."""


class Reservation:
    """One admitted call: first settled or not, then finished, each once.

    `output_tokens`: the longest answer that it covers. `amounts`: the reserved tokens and nano-dollars. `local`: this
    worker's count, if Redis was unavailable. `watched`: the limits that only BUDGETS=watch does not enforce.
    """

    __slots__ = (
        "_ledger", "amounts", "daily_usage", "is_noted", "is_open", "is_settled", "local", "output_tokens", "record",
        "watched",
    )  # fmt: skip

    def __init__(
        self,
        ledger: Ledger,
        record: CallRecord,
        daily_usage: DailyUsage,
        covers: tuple[int, Amounts],
        local: LocalCounts | None = None,
    ) -> None:
        """`covers`: `output_tokens` and `amounts`."""
        self._ledger = ledger
        self.record = record
        self.daily_usage = daily_usage
        self.output_tokens, self.amounts = covers
        self.local = local
        self.watched: tuple[str, ...] = ()
        self.is_settled = False
        self.is_open = True
        self.is_noted = False  # whether the metrics count the call as settled

    def settle(self, *, is_last: bool = False) -> None:
        """Count the call, because OpenAI has begun to answer. It counts even if this worker dies. Returns at once.

        `is_last`: the answer is complete and `finish` follows at once, which settles too.
        """
        if self.is_open and not self.is_settled:
            self.is_settled = True
            if not is_last:
                self._ledger.settle(self)

    def finish(self, charged: Amounts, *, is_abandoned: bool = False) -> None:
        """End the call and charge tokens and nano-dollars. Only the first call of this method has an effect.

        A call that was not settled is given back. `is_abandoned`: its client left while OpenAI worked on it; only
        the first few of a day are given back. If the user's places are limited, or the call is not settled, this
        returns after Redis has replied, so that the user's next call finds the place and the count.
        """
        if not self.is_open:
            return
        self.is_open = False
        outcome = scripts.CHARGE if self.is_settled else scripts.ABANDON if is_abandoned else scripts.GIVE_BACK
        self.is_settled = self._ledger.finish(self, outcome, NOTHING if outcome == scripts.GIVE_BACK else charged)
        self.daily_usage = self.daily_usage.after(self.amounts, charged if self.is_settled else NOTHING)
        if not self.is_settled:
            self.daily_usage = self.daily_usage.without_call()
