"""A user's usage of one day, and the remainder of each limit. Pure."""

from typing import NamedTuple

from broker.quota.calls.records import CallRecord


class Level(NamedTuple):
    """One daily limit (None: unlimited), the amount used, and the amount reserved by calls in flight."""

    limit: int | None
    used: int
    reserved: int = 0

    @property
    def remaining(self) -> int | None:
        """The remainder; None without a limit."""
        return None if self.limit is None else max(0, self.limit - self.used - self.reserved)

    def after(self, reserved: int, charged: int) -> "Level":
        """Return the level after a reserved amount was replaced by the charged one."""
        return Level(self.limit, self.used + charged, max(0, self.reserved - reserved))


class DailyUsage(NamedTuple):
    """A user's usage of one UTC day.

    `calls` counts calls in flight as used. `spend` is in nano-dollars. `resets_at` is the Unix time of the next day.
    Exempt users are counted and never refused.
    """

    calls: Level
    tokens: Level
    spend: Level
    resets_at: int
    exempt: bool
    plan: str

    @property
    def remaining_calls(self) -> int:
        """Calls left; for an exempt user always the whole limit."""
        return self.calls.limit or 0 if self.exempt else self.calls.remaining or 0

    def without_call(self) -> "DailyUsage":
        """Return the usage after the call in flight was given back."""
        return self._replace(calls=self.calls._replace(used=self.calls.used - 1))

    def after(self, reserved: tuple[int, int], charged: tuple[int, int]) -> "DailyUsage":
        """Return the usage after a call's reserved tokens and nano-dollars were replaced by the charged ones."""
        tokens = self.tokens.after(reserved[0], charged[0])
        spend = self.spend.after(reserved[1], charged[1])
        return DailyUsage(self.calls, tokens, spend, self.resets_at, self.exempt, self.plan)


def usage_of(record: CallRecord, numbers: list[int]) -> DailyUsage:
    """Return the usage in a script's result: calls, amounts charged, reserved and granted on top."""
    calls, tokens, nano, reserved_tokens, reserved_nano, more_calls, more_tokens, more_nano = numbers
    limits = record.limits
    return DailyUsage(
        Level(limits.calls + more_calls, calls),
        Level(_plus(limits.tokens, more_tokens), tokens, reserved_tokens),
        Level(_plus(limits.spend, more_nano), nano, reserved_nano),
        record.day.ends_at,
        limits.is_exempt,
        limits.plan,
    )


def unknown_usage(record: CallRecord, calls: int) -> DailyUsage:
    """Return the usage that a worker knows without Redis: its own calls."""
    return usage_of(record, [calls, *[0] * 7])


def _plus(limit: int | None, more: int) -> int | None:
    return None if limit is None else limit + more
