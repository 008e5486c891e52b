"""Counting without Redis: bounded by the limit, the day and the memory."""

import pytest

from broker.quota import local_fallback
from broker.quota.local_fallback import LocalCounts
from broker.quota.scripts import Day

TODAY, TOMORROW = Day("2026-11-24", 1), Day("2026-11-25", 2)


def test_the_workers_together_let_a_user_make_the_limit() -> None:
    """Each its share, rounded up."""
    counts = LocalCounts(workers=4)
    assert [counts.admit(TODAY, "ada", 10) for _ in range(5)] == [1, 2, 3, None, None]
    assert counts.admit(TODAY, "grace", 10) == 1


def test_the_share_is_a_days_not_an_outages() -> None:
    """Only midnight brings a new one."""
    counts = LocalCounts(workers=1)
    assert [counts.admit(TODAY, "ada", 1) for _ in range(2)] == [1, None]
    assert counts.admit(TOMORROW, "ada", 1) == 1


def test_what_is_given_back_may_be_used_again() -> None:
    """Of the same day."""
    counts = LocalCounts(workers=1)
    counts.admit(TODAY, "ada", 1)
    counts.give_back(TODAY, "ada")
    assert counts.admit(TODAY, "ada", 1) == 1
    counts.give_back(TOMORROW, "ada")
    assert counts.used(TOMORROW, "ada") == 0


def test_a_limit_of_nothing_is_nothing_and_the_exempt_have_none() -> None:
    """As with Redis."""
    counts = LocalCounts(workers=2)
    assert counts.admit(TODAY, "ada", 0) is None
    assert [counts.admit(TODAY, "grace", 0, exempt=True) for _ in range(3)] == [1, 2, 3]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for users without a limit."""
    monkeypatch.setattr(local_fallback, "MAX_CALLS", 5)
    counts = LocalCounts(workers=1)
    assert [counts.admit(TODAY, str(user), 9, exempt=True) for user in range(6)] == [1] * 5 + [None]
