"""The metrics of tokens and money. Counts in Redis are exact integers; here dollars are floats."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter, Gauge

NANO = 10**9  # nano-dollars in a dollar
Amounts = tuple[int, int]  # tokens and nano-dollars
Counters = Callable[..., Counter]  # one for each combination of labels


class Usage(Protocol):
    """The token counts of one answer."""

    @property
    def input(self) -> int:
        """Tokens of the prompt."""

    @property
    def cached(self) -> int:
        """Of these, tokens read from OpenAI's cache."""

    @property
    def output(self) -> int:
        """Tokens of the answer."""

    @property
    def reasoning(self) -> int:
        """Of these, reasoning tokens, which the client does not see."""


class BudgetMetrics:
    """Charges, refusals and reservations.

    reserved + exceeded = settled + released + lapsed + in flight, in tokens and in dollars, as Redis knows.
    Reservations of a worker that died lapse. `exceeded`: the amounts that calls used beyond their reservation.
    """

    def __init__(self, counters: Callable[..., Counters], gauge: Callable[..., Gauge]) -> None:
        """`counters` and `gauge` make metrics by name, text, and labels or multiprocess mode."""
        self._tokens = counters("tokens_total", "Tokens that OpenAI counted", "model", "kind")
        self._spend = counters("spend_dollars_total", "Cost of calls", "model", "basis")
        self._refusals = counters("budget_refusals_total", "Calls over a limit, by mode", "limit", "mode")
        self._reserved_tokens = counters("budget_tokens_total", "Tokens of reservations, by outcome", "state")
        self._reserved_dollars = counters("budget_dollars_total", "Dollars of reservations, by outcome", "state")
        self.tenant_spend = gauge("tenant_spend_dollars", "Spend of all users today", "livemax")
        self.tenant_budget = gauge("tenant_budget_dollars", "TENANT_DAILY_SPEND", "livemax")

    def tokens_used(self, model: str, usage: Usage) -> None:
        """Record the tokens of one answer. Cached tokens are part of input, reasoning tokens of output."""
        for kind in ("input", "cached", "output", "reasoning"):
            if count := getattr(usage, kind):
                self._tokens(model, kind).inc(count)

    def call_charged(self, model: str, nano_dollars: int, *, is_estimated: bool) -> None:
        """Record the cost of a call. `is_estimated`: OpenAI sent no usage."""
        self._spend(model, "estimate" if is_estimated else "usage").inc(nano_dollars / NANO)

    def refused(self, limit: str, *, is_watched: bool) -> None:
        """Record a call over a limit. `is_watched`: it was let through (BUDGETS=watch)."""
        self._refusals(limit, "watched" if is_watched else "refused").inc()

    def reserved(self, amounts: Amounts) -> None:
        """Record a reservation."""
        self._reserved_tokens("reserved").inc(amounts[0])
        self._reserved_dollars("reserved").inc(amounts[1] / NANO)

    def settled(self, reserved: Amounts, charged: Amounts) -> None:
        """Record the end of a reservation, and the amounts charged instead."""
        self._reserved_tokens("settled").inc(charged[0])
        self._reserved_dollars("settled").inc(charged[1] / NANO)
        rest, nano = reserved[0] - charged[0], reserved[1] - charged[1]
        self._reserved_tokens("released" if rest >= 0 else "exceeded").inc(abs(rest))
        self._reserved_dollars("released" if nano >= 0 else "exceeded").inc(abs(nano) / NANO)

    def lapsed(self, tokens: float, dollars: float) -> None:
        """Record the reservations of a worker that died."""
        self._reserved_tokens("lapsed").inc(tokens)
        self._reserved_dollars("lapsed").inc(dollars)
