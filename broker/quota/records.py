"""A call as it is entered in the ledger. Pure, but for the clock that it is given."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker.caller import Caller
from broker.quota import scripts
from broker.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call: its id, whose it is, on which day, and what the ledger's scripts are told of it."""

    id: str
    caller_id: str
    day: scripts.Day
    exempt: bool
    limit: int
    has_place: bool
    arguments: tuple[Any, ...]


class CallRecords:
    """Makes entries by the operator's rules."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        """`clock` gives Unix time in seconds."""
        self._settings = settings
        self._project = settings.supabase_url.partition("://")[2]
        self._clock = clock

    def new(self, caller: Caller) -> CallRecord:
        """An record for one call, now."""
        settings, day = self._settings, scripts.day_at(self._clock())
        exempt, limit = caller.id in settings.id_white_list, settings.daily_limit
        if caller.is_anonymous and settings.anonymous_daily_limit is not None:
            limit = settings.anonymous_daily_limit
        places = -1 if exempt or settings.max_calls_per_user is None else settings.max_calls_per_user
        call_id = secrets.token_urlsafe(9)
        arguments = (
            *scripts.keys_of(self._project, caller.id, day),
            -1 if exempt else limit,
            scripts.LEASE,
            call_id,
            day.ends_at + scripts.GRACE,
            places,
        )
        return CallRecord(call_id, caller.id, day, exempt, limit, places >= 0, arguments)
