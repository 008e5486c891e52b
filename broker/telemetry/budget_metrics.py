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
        """Of these, hidden ones."""


class BudgetMetrics:
    """What calls took, what limits refused, and what became of reservations.

    reserved + exceeded = settled + released + lapsed + in flight, in tokens and in dollars. What was in flight in a
    worker that died lapses, and is in none of the other states.
    """

    def __init__(self, counters: Callable[..., Counters], gauge: Callable[..., Gauge]) -> None:
        """`counters` and `gauge` make metrics by name, text, and labels or multiprocess mode."""
        self._tokens = counters("tokens_total", "Tokens that OpenAI counted", "model", "kind")
        self._spend = counters("spend_dollars_total", "What calls cost", "model", "basis")
        self._refusals = counters("budget_refusals_total", "Calls over a limit, by mode", "limit", "mode")
        self._token_books = counters("budget_tokens_total", "Tokens of reservations, by what became", "state")
        self._dollar_books = counters("budget_dollars_total", "Dollars of reservations, by what became", "state")
        self.tenant_spend = gauge("tenant_spend_dollars", "What all users have spent today", "livemax")
        self.tenant_budget = gauge("tenant_budget_dollars", "TENANT_DAILY_SPEND", "livemax")

    def tokens_used(self, model: str, usage: Usage) -> None:
        """Record the tokens of one answer. Cached tokens are part of input, reasoning tokens of output."""
        for kind in ("input", "cached", "output", "reasoning"):
            if count := getattr(usage, kind):
                self._tokens(model, kind).inc(count)

    def call_charged(self, model: str, nano_dollars: int, *, is_estimated: bool) -> None:
        """Record what a call cost. `is_estimated`: OpenAI sent no usage."""
        self._spend(model, "estimate" if is_estimated else "usage").inc(nano_dollars / NANO)

    def refused(self, limit: str, *, is_watched: bool) -> None:
        """Record a call over a limit. `is_watched`: it was let through (BUDGETS=watch)."""
        self._refusals(limit, "watched" if is_watched else "refused").inc()

    def reserved(self, amounts: Amounts) -> None:
        """Record a reservation."""
        self._token_books("reserved").inc(amounts[0])
        self._dollar_books("reserved").inc(amounts[1] / NANO)

    def settled(self, reserved: Amounts, charged: Amounts) -> None:
        """Record the end of a reservation, and what was charged instead."""
        rows = zip((self._token_books, self._dollar_books), (1, NANO), reserved, charged, strict=True)
        for books, unit, amount, charge in rows:
            books("settled").inc(charge / unit)
            books("released" if amount >= charge else "exceeded").inc(abs(amount - charge) / unit)
