"""The operator's changes for one user: block, unblock, grant, reset. They apply from the user's next call.

The audit line is written before the change, so that no change lacks one. A change that Redis refuses gets a second
line that says so, if Redis takes it.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.quota.calls.keys import Day, keys_of, project_key
from broker.quota.users import user_scripts
from broker.quota.users.audit_log import AuditLog
from broker.quota.users.redis_access import RedisAccess, RedisFailed


@dataclass(frozen=True, slots=True)
class Amounts:
    """Calls, tokens and nano-dollars."""

    calls: int = 0
    tokens: int = 0
    spend: int = 0


class Changes:
    """The changes of one operator. Every method raises `RedisFailed`."""

    def __init__(self, redis: RedisAccess, project: str, by: str, expiry: Callable[[Day], int]) -> None:
        """`by` names the operator in the audit log; `expiry` gives the Unix time at which a day's keys expire."""
        self._redis = redis
        self._project = project
        self._by = by
        self._expiry = expiry
        self._log = AuditLog(redis, project)
        self._recent = (project_key(project, "blocks", "recent"),)

    def block(self, user: str, day: Day) -> bool:
        """Refuse the user's calls until `unblock`, and end the open ones. Return whether that is new."""
        with self._logged("block", user):
            is_new = self._redis.run(user_scripts.BLOCK, self._keys(user, day)[3:])
            self._redis.run(
                user_scripts.ANNOUNCE, self._recent, user, user_scripts.KEPT_BLOCKS, user_scripts.MOST_BLOCKS
            )
            return bool(is_new)

    def unblock(self, user: str, day: Day) -> bool:
        """Admit the user again. Return whether the user was blocked.

        Workers forget the block first: otherwise they could end a call that was admitted after it.
        """
        with self._logged("unblock", user):
            self._redis.run(user_scripts.WITHDRAW, self._recent, user)
            return bool(self._redis.run(user_scripts.UNBLOCK, self._keys(user, day)[3:]))

    def grant(self, user: str, day: Day, more: Amounts) -> Amounts:
        """Raise the user's limits of this day. Return what was granted in all."""
        details = f"{more.calls} calls, {more.tokens} tokens, {more.spend / 10**9:g} dollars more on {day.name}"
        with self._logged("grant", user, details) as operation:
            arguments = (operation, self._expiry(day), more.calls, more.tokens, more.spend)
            return Amounts(*self._redis.run(user_scripts.GRANT, self._keys(user, day), *arguments))

    def reset(self, user: str, day: Day) -> Amounts:
        """Give the day's finished calls back, with their tokens and money. Return how much that was.

        Calls in flight stay reserved and count once they are over.
        """
        given = Amounts()
        with self._logged("reset", user, f"the finished calls of {day.name}"):
            while True:
                calls, *amounts = self._redis.run(
                    user_scripts.RESET, self._keys(user, day), user_scripts.RESET_AT_ONCE, self._expiry(day)
                )
                given = Amounts(given.calls + calls, given.tokens + amounts[0], given.spend + amounts[1])
                if calls < user_scripts.RESET_AT_ONCE:
                    return given

    def _keys(self, user: str, day: Day) -> tuple[str, ...]:
        return keys_of(self._project, user, day)

    @contextlib.contextmanager
    def _logged(self, action: str, user: str, details: str = "") -> Iterator[str]:
        """Write the audit line, then run the block, which gets the operation's id."""
        operation = secrets.token_urlsafe(9)
        self._log.add(operation, self._by, action, user, details)
        try:
            yield operation
        except RedisFailed as failed:
            with contextlib.suppress(RedisFailed):
                self._log.add(operation + "!", self._by, action, user, f"failed: {failed}")
            raise
