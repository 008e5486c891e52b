"""The log of the operator's changes: one line a change, capped."""

import fakeredis
import pytest

from broker.quota.users import user_scripts
from broker.quota.users.audit_log import AuditLog
from broker.quota.users.redis_access import RedisAccess


def test_lines_come_in_order_and_one_sent_twice_is_one(redis: fakeredis.FakeRedis) -> None:
    """The newest lines, oldest first, with Redis' time."""
    log = AuditLog(RedisAccess(redis), "p")
    for operation in ("1", "2", "2", "3"):
        log.add(operation, "grace", "block", f"user{operation}", "")
    assert [line.user for line in log.lines(10)] == ["user1", "user2", "user3"]
    assert [line.user for line in log.lines(2)] == ["user2", "user3"]
    assert abs(log.lines(1)[0].at - redis.time()[0]) < 60
    assert log.lines(1)[0].time.endswith("+00:00")


def test_the_log_is_capped_and_a_project_has_its_own(
    redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approximately: Redis drops whole nodes of about a hundred lines."""
    monkeypatch.setattr(user_scripts, "MOST_LINES", 5)
    log = AuditLog(RedisAccess(redis), "p")
    for number in range(300):
        log.add(str(number), "grace", "block", "ada", "")
    assert 5 <= len(log.lines(1000)) < 300
    assert AuditLog(RedisAccess(redis), "q").lines(10) == []
