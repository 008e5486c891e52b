"""The limits of a caller."""

import math

from broker.caller import Caller
from broker.quota.budgets.limits import LimitRules, Limits
from broker.settings.settings import Settings
from tests.apps import REQUIRED

PRO = '{"plans": {"pro": {"calls": 500, "models": ["gpt-4o"]}}}'
GRACE = "00000000-0000-4000-8000-00000000000a"


def limits_of(caller: Caller, **environ: str) -> Limits:
    return LimitRules(Settings.from_environ(REQUIRED | environ)).limits_of(caller)


def test_without_a_plan_the_defaults_hold() -> None:
    """An unknown plan counts as none."""
    for plan in (None, "platinum"):
        limits = limits_of(Caller("ada", math.inf, plan=plan), DAILY_LIMIT="7", DAILY_TOKENS="9", PLANS=PRO)
        assert limits == Limits("default", 7, tokens=9)


def test_a_plan_goes_before_the_defaults() -> None:
    """The defaults fill in what the plan leaves open."""
    limits = limits_of(Caller("ada", math.inf, plan="pro"), DAILY_TOKENS="9", DAILY_SPEND="2", PLANS=PRO)
    assert limits == Limits("pro", 500, 9, 2 * 10**9, frozenset({"gpt-4o"}))


def test_anonymous_users_have_a_plan_of_their_own() -> None:
    """ANONYMOUS_DAILY_LIMIT is its default. The plan in their token is ignored."""
    stranger = Caller("stranger", math.inf, is_anonymous=True, plan="pro")
    assert limits_of(stranger, ANONYMOUS_DAILY_LIMIT="3", PLANS=PRO) == Limits("anonymous", 3)
    own = '{"plans": {"anonymous": {"calls": 2, "tokens": 5}}}'
    assert limits_of(stranger, PLANS=own) == Limits("anonymous", 2, 5)
    tokens_only = '{"plans": {"anonymous": {"tokens": 5}}}'
    assert limits_of(stranger, ANONYMOUS_DAILY_LIMIT="3", PLANS=tokens_only) == Limits("anonymous", 3, 5)


def test_amounts_are_limited_unless_the_user_is_exempt() -> None:
    """Answers are bounded only if amounts are limited."""
    assert not limits_of(Caller("ada", math.inf)).are_amounts_limited
    assert limits_of(Caller("ada", math.inf), DAILY_TOKENS="9").are_amounts_limited
    exempt = limits_of(Caller(GRACE, math.inf), DAILY_TOKENS="9", ID_WHITE_LIST=f'["{GRACE}"]')
    assert exempt.is_exempt
    assert not exempt.are_amounts_limited
