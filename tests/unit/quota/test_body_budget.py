"""The bytes of request bodies under way are bounded per user and per worker."""

import pytest

from broker.errors.limits import TooManyBytesInFlight, WorkerBusy
from broker.quota.body_budget import BodyBudget


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(per_user=10, per_worker=15)


def test_a_user_s_bodies_are_bounded_together(budget: BodyBudget) -> None:
    """Other users may still send. The bytes are free again once a request ends."""
    first = budget.take("ada", 6)
    budget.take("ada", 4)
    with pytest.raises(TooManyBytesInFlight):
        budget.take("ada", 1)
    budget.take("grace", 5)
    first()
    budget.take("ada", 5)


def test_a_worker_s_bodies_are_bounded_together(budget: BodyBudget) -> None:
    """Bodies of all users count. A request without a body always passes."""
    budget.take("ada", 10)
    budget.take("grace", 5)
    with pytest.raises(WorkerBusy):
        budget.take("edsger", 1)
    budget.take("edsger", 0)


def test_users_are_forgotten(budget: BodyBudget) -> None:
    """The table holds only users with bodies under way."""
    for number in range(100):
        budget.take(f"user {number}", 10)()
    assert not budget._by_user
    assert budget._total == 0
