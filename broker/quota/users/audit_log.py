"""The operator's changes: who, when, what. A capped stream in Redis, one a project."""

import datetime
from dataclasses import dataclass

from broker.quota.calls.keys import project_key
from broker.quota.users import user_scripts
from broker.quota.users.redis_access import RedisAccess


@dataclass(frozen=True, slots=True)
class Line:
    """One change. `at` is Unix time in seconds by Redis' clock; `by` is the name that the operator's machine gives."""

    at: float
    by: str
    action: str
    user: str
    details: str

    @property
    def time(self) -> str:
        """Return the time in RFC 3339's format, in UTC."""
        return datetime.datetime.fromtimestamp(int(self.at), datetime.UTC).isoformat()


class AuditLog:
    """The log of one project."""

    def __init__(self, redis: RedisAccess, project: str) -> None:
        self._redis = redis
        self._key = project_key(project, "audit", "lines")

    def add(self, operation: str, by: str, action: str, user: str, details: str) -> None:
        """Append a line. `operation` is its unique id: a line that is sent twice is one. Raises `RedisFailed`."""
        fields = ("by", by, "action", action, "user", user, "details", details)
        self._redis.run(user_scripts.ADD_LINE, (self._key,), operation, user_scripts.MOST_LINES, *fields)

    def lines(self, most: int) -> list[Line]:
        """Return the newest lines, oldest first. Raises `RedisFailed`."""
        found = self._redis.run(user_scripts.READ_LINES, (self._key,), most)
        return [_line(line_id, fields) for line_id, fields in reversed(found)]


def _line(line_id: bytes, fields: list[bytes]) -> Line:
    texts = [text.decode(errors="replace") for text in fields]
    values = dict(zip(texts[::2], texts[1::2], strict=True))
    at = int(line_id.partition(b"-")[0]) / 1000
    return Line(at, *(values.get(name, "") for name in ("by", "action", "user", "details")))
