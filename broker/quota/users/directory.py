"""Reads the users' usage of a UTC day from Redis. Changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from broker.quota.calls.keys import Day, day_at, keys_of, pattern_of
from broker.quota.users import user_scripts
from broker.quota.users.redis_access import PAGE, RedisAccess


@dataclass(frozen=True, slots=True)
class UserDay:
    """One user's day. Money is in nano-dollars.

    `calls`, `tokens` and `spend` count against the limits, calls in flight included in `calls`. What the operator gave
    back (`reset_…`) no longer does. `granted_…` is on top of the limits.
    """

    id: str
    calls: int
    reset_calls: int
    calls_in_flight: int
    is_blocked: bool
    tokens: int
    spend: int
    reserved_tokens: int
    reserved_spend: int
    granted_calls: int
    granted_tokens: int
    granted_spend: int
    reset_tokens: int
    reset_spend: int
    abandoned_calls: int

    @property
    def all_calls(self) -> int:
        """The day's calls, those that were given back included."""
        return self.calls + self.reset_calls

    @property
    def all_tokens(self) -> int:
        """The day's tokens, those that were given back included."""
        return self.tokens + self.reset_tokens

    @property
    def all_spend(self) -> int:
        """The day's nano-dollars, those that were given back included."""
        return self.spend + self.reset_spend


class Directory:
    """The users of one project."""

    def __init__(self, redis: RedisAccess, project: str) -> None:
        """`project` is the host of SUPABASE_URL."""
        self._redis = redis
        self._project = project

    def today(self, caller_id: str = "") -> Day:
        """Return the UTC day by Redis' own clock; of the server that holds this user's keys."""
        key = keys_of(self._project, caller_id, day_at(0))[3]
        return day_at(self._redis.run(user_scripts.NOW, (key,)))

    def user(self, caller_id: str, day: Day) -> UserDay:
        """Return one user's day. Raises `RedisFailed`."""
        return self._read([caller_id], day)[0]

    def users(self, day: Day) -> Iterator[tuple[int, list[UserDay]]]:
        """Yield every user who called on this day, in pages, with the number of keys looked at so far.

        Raises `RedisFailed`.
        """
        seen: set[str] = set()
        looked_at = 0
        for names in self._redis.scan(pattern_of(self._project, day)):
            looked_at += PAGE
            found = {self._id_in(name) for name in names} - seen
            seen |= found
            yield looked_at, [row for row in self._read(sorted(found), day) if row.all_calls or row.all_tokens]

    def _read(self, ids: list[str], day: Day) -> list[UserDay]:
        keys = [keys_of(self._project, caller_id, day) for caller_id in ids]
        rows = self._redis.summaries(keys)
        return [_user_day(caller_id, row) for caller_id, row in zip(ids, rows, strict=True)]

    @staticmethod
    def _id_in(name: str) -> str:
        return unquote(name.partition("{")[2].partition("}")[0].rpartition(":")[2])


def _user_day(caller_id: str, row: list[int]) -> UserDay:
    """Return the day that a row of `user_scripts.SUMMARIES` shows."""
    calls, reset_calls, in_flight, is_blocked, *amounts = row
    return UserDay(caller_id, calls, reset_calls, in_flight, bool(is_blocked), *amounts)
