"""Plans, and the claim that names a user's plan."""

import pytest

from broker.settings.plans import Plan, plan_in, plan_table
from broker.settings.settings import Settings, SettingsInvalid
from tests.apps import REQUIRED


def test_a_plan_has_limits_of_its_own() -> None:
    """The tenant's defaults apply to limits that it omits."""
    plans = plan_table('{"claim": "plan", "plans": {"pro": {"calls": 500, "spend": 2.5, "models": ["gpt-4o"]}}}')
    assert plans.claim == ("plan",)
    assert plans.plans == {"pro": Plan(500, None, 2_500_000_000, frozenset({"gpt-4o"}))}
    assert plan_table('{"plans": {}}').claim == ("app_metadata", "plan")


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"claim": "plan"}', '{"plans": []}', '{"plans": {}, "claim": "a..b"}', '{"plans": {"pro": 5}}',
        '{"plans": {"pro": {"calls": -1}}}', '{"plans": {"pro": {"calls": true}}}',
        '{"plans": {"pro": {"tokens": 1.5}}}', '{"plans": {"pro": {"spend": "much"}}}',
        '{"plans": {"pro": {"models": "gpt-4o"}}}', '{"plans": {"pro": {"call": 5}}}',
    ],
)  # fmt: skip
def test_invalid_plans_are_refused(text: str) -> None:
    """The broker does not start."""
    with pytest.raises(ValueError, match="must"):
        plan_table(text)


def test_a_claim_that_users_can_edit_is_refused() -> None:
    """Every user could choose the best plan."""
    with pytest.raises(ValueError, match="user_metadata"):
        plan_table('{"claim": "user_metadata.plan", "plans": {}}')


def test_the_claim_is_found_by_its_path() -> None:
    """A value that is no text names no plan."""
    path = ("app_metadata", "plan")
    assert plan_in({"app_metadata": {"plan": "pro"}}, path) == "pro"
    for claims in ({}, {"app_metadata": None}, {"app_metadata": {"plan": 5}}, {"app_metadata": "plan"}):
        assert plan_in(claims, path) is None


@pytest.mark.parametrize(
    "limit", [{"DAILY_SPEND": "1"}, {"TENANT_DAILY_SPEND": "1"}, {"PLANS": '{"plans": {"pro": {"spend": 1}}}'}]
)
def test_with_a_limit_in_dollars_every_model_has_a_price(limit: dict[str, str]) -> None:
    """Calls of a model without one would be free, so the broker does not start."""
    models = {"MODELS": '{"gpt-4o": "tide-1", "gpt-4o-mini": "gpt-4o-mini"}'}
    with pytest.raises(SettingsInvalid, match="PRICES has to price tide-1"):
        Settings.from_environ(REQUIRED | models | limit)
    Settings.from_environ(REQUIRED | models | limit | {"PRICES": '{"tide-1": {"input": 1, "output": 2}}'})
    Settings.from_environ(REQUIRED | models)


def test_a_plan_names_only_models_that_exist() -> None:
    """A misspelt one would refuse the one that is meant."""
    with pytest.raises(SettingsInvalid, match="PLANS has models that MODELS has not: gpt-4oh"):
        Settings.from_environ(REQUIRED | {"PLANS": '{"plans": {"pro": {"models": ["gpt-4o", "gpt-4oh"]}}}'})
