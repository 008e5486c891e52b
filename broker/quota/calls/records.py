"""The scripts' arguments for one call. Pure except for the clock and the random id."""

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from broker.caller import Caller
from broker.quota import scripts
from broker.quota.budgets.limits import LimitRules, Limits
from broker.quota.calls import keys
from broker.settings.settings import Settings


class Demand(NamedTuple):
    """The most that a call may use: estimated input tokens, the output's cap, and nano-dollars per token of each."""

    input_tokens: int = 0
    output_tokens: int = 1
    input_price: int = 0
    output_price: int = 0

    def cost(self, output_tokens: int) -> int:
        """Return nano-dollars for the input and `output_tokens`."""
        return self.input_tokens * self.input_price + output_tokens * self.output_price


LEAST = Demand()  # for a request that is invalid


class CallRecord(NamedTuple):
    """One call: its id, its user's limits, its day, and the arguments that all scripts have in common."""

    id: str
    caller_id: str
    day: keys.Day
    limits: Limits
    has_place: bool
    arguments: tuple[Any, ...]


def expiry_of(settings: Settings, day: keys.Day) -> int:
    """Return the Unix time at which the keys of a user's day expire."""
    return day.ends_at + settings.usage_kept_days * 86_400


class CallRecords:
    """Makes records by the operator's rules, on the day that Redis' clock shows."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time in seconds. Redis may correct it."""
        self._settings = settings
        self._rules = LimitRules(settings)
        self._project = settings.supabase_url.partition("://")[2]
        self._clock = clock
        self._offset = 0.0
        self._least = settings.min_output_tokens
        self._is_watching = int(settings.budgets == "watch")

    @property
    def project(self) -> str:
        """The part of the key names that separates projects which share a Redis."""
        return self._project

    def now(self) -> float:
        """Return Unix time in seconds, corrected to Redis' clock if the two were on different days."""
        return self._clock() + self._offset

    def correct_clock(self, redis_time: float) -> None:
        """Follow Redis' clock from now on, after it refused a record of another day."""
        self._offset = redis_time - self._clock()

    def limits_of(self, caller: Caller) -> Limits:
        """Return a user's limits."""
        return self._rules.limits_of(caller)

    def new(self, caller: Caller) -> CallRecord:
        """Return a record of one call, now."""
        day, limits = keys.day_at(self.now()), self._rules.limits_of(caller)
        places = self._settings.max_calls_per_user
        places = -1 if limits.is_exempt or places is None else places
        call_id = secrets.token_urlsafe(9)
        arguments = (
            *keys.keys_of(self._project, caller.id, day),
            call_id,
            scripts.LEASE,
            expiry_of(self._settings, day),
            places,
        )
        return CallRecord(call_id, caller.id, day, limits, places >= 0, arguments)

    def reserve_arguments(self, record: CallRecord, demand: Demand) -> tuple[Any, ...]:
        """Return the arguments of `scripts.RESERVE`."""
        limits = record.limits
        wanted = demand.output_tokens
        limited = (-1, -1, -1) if limits.is_exempt else (limits.calls, _or_none(limits.tokens), _or_none(limits.spend))
        return (
            *record.arguments,
            record.day.number,
            *limited,
            demand.input_tokens,
            wanted,
            min(wanted, self._least),
            demand.input_price,
            demand.output_price,
            self._is_watching,
        )


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit
