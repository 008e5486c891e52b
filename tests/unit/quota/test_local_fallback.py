"""Counting without Redis: bounded by the limit, the day and the memory."""

import pytest

from broker.quota import local_fallback
from broker.quota.budgets.limits import Limits
from broker.quota.calls.keys import Day
from broker.quota.local_fallback import LocalCounts

TODAY, TOMORROW = Day("2026-11-24", 1795564800), Day("2026-11-25", 1795651200)


def test_the_workers_together_let_a_user_make_the_limit() -> None:
    """Each worker admits its share, rounded up."""
    counts = LocalCounts(workers=4)
    assert [counts.admit(TODAY, "ada", Limits("default", 10)) for _ in range(5)] == [1, 2, 3, None, None]
    assert counts.admit(TODAY, "grace", Limits("default", 10)) == 1


def test_the_share_is_per_day_and_not_per_outage() -> None:
    """Only midnight brings a new one."""
    counts = LocalCounts(workers=1)
    assert [counts.admit(TODAY, "ada", Limits("default", 1)) for _ in range(2)] == [1, None]
    assert counts.admit(TOMORROW, "ada", Limits("default", 1)) == 1


def test_a_returned_call_may_be_used_again() -> None:
    """It returns to the share of the same day."""
    counts = LocalCounts(workers=1)
    counts.admit(TODAY, "ada", Limits("default", 1))
    counts.correct(TODAY, "ada", -1, (0, 0))
    assert counts.admit(TODAY, "ada", Limits("default", 1)) == 1
    counts.correct(TOMORROW, "ada", -1, (0, 0))
    assert counts.used(TOMORROW, "ada") == 0


def test_a_call_of_yesterday_that_ends_today_leaves_the_share_of_today_used() -> None:
    """Neither does a call that is admitted late, after another one of the new day."""
    counts, limits = LocalCounts(workers=1), Limits("default", 1)
    counts.admit(TODAY, "ada", limits)
    assert counts.admit(TOMORROW, "ada", limits) == 1
    counts.correct(TODAY, "ada", 0, (5, 5))
    assert counts.admit(TODAY, "ada", limits) is None
    assert counts.admit(TOMORROW, "ada", limits) is None


def test_a_limit_of_zero_admits_no_call_and_exempt_users_have_none() -> None:
    """The rules are those of Redis."""
    counts = LocalCounts(workers=2)
    assert counts.admit(TODAY, "ada", Limits("default", 0)) is None
    assert [counts.admit(TODAY, "grace", Limits("default", 0, is_exempt=True)) for _ in range(3)] == [1, 2, 3]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds for users without a limit, too."""
    monkeypatch.setattr(local_fallback, "MAX_CALLS", 5)
    counts = LocalCounts(workers=1)
    assert [counts.admit(TODAY, str(user), Limits("default", 9, is_exempt=True)) for user in range(6)] == [1] * 5 + [
        None
    ]


def test_a_share_of_tokens_and_money_is_a_limit_too() -> None:
    """Unused amounts of a call may be used again."""
    counts, limits = LocalCounts(workers=2), Limits("default", 100, tokens=200, spend=1_000)
    assert counts.admit(TODAY, "ada", limits, (100, 500)) == 1
    assert counts.admit(TODAY, "ada", limits, (1, 0)) is None
    counts.correct(TODAY, "ada", 0, (-60, -300))
    assert counts.admit(TODAY, "ada", limits, (60, 300)) == 2
    assert counts.admit(TODAY, "ada", limits, (0, 1)) is None


def test_watched_limits_refuse_no_call() -> None:
    """With BUDGETS=watch tokens and money are counted, and calls stay limited."""
    counts, limits = LocalCounts(workers=1, is_watching=True), Limits("default", 2, tokens=1, spend=1)
    assert [counts.admit(TODAY, "ada", limits, (100, 500)) for _ in range(3)] == [1, 2, None]
