"""A user's daily limits by plan. Pure.

The plan is a claim of the access token that only the server can set: `app_metadata.…`, or what a custom access token
hook adds (https://supabase.com/docs/guides/auth/auth-hooks/custom-access-token-hook). A user can edit their own
`user_metadata`, so it is refused as the claim's place.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from broker.settings.prices import dollars

CLAIM = "app_metadata.plan"
ANONYMOUS = "anonymous"  # the plan of users who signed in anonymously
_MEMBERS = ("calls", "tokens", "spend", "models")


@dataclass(frozen=True, slots=True)
class Plan:
    """Limits a UTC day, None where the tenant's default holds; `spend` in nano-dollars; `models`: names or all."""

    calls: int | None = None
    tokens: int | None = None
    spend: int | None = None
    models: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans by name, and the path of the claim that names a user's."""

    claim: tuple[str, ...] = tuple(CLAIM.split("."))
    plans: Mapping[str, Plan] = field(default_factory=dict)


def plan_table(text: str) -> Plans:
    """Parse `PLANS`. Raises `ValueError`."""
    try:
        content = json.loads(text, parse_float=Decimal)
    except ValueError:
        raise ValueError("must be JSON") from None
    if not isinstance(content, dict) or not content.keys() <= {"claim", "plans"}:
        raise ValueError('must be a JSON object such as {"plans": {"pro": {"calls": 500}}}')
    claim, plans = content.get("claim", CLAIM), content.get("plans")
    if not isinstance(claim, str) or not all(path := claim.split(".")):
        raise ValueError("must name a claim of the access token, such as app_metadata.plan")
    if path[0] == "user_metadata":
        raise ValueError("must not take the plan from user_metadata, which users can edit")
    if not isinstance(plans, dict):
        raise ValueError("must have the limits of each plan under 'plans'")
    return Plans(tuple(path), {name: _plan(name, members) for name, members in plans.items()})


def _plan(name: str, members: object) -> Plan:
    if not isinstance(members, dict) or not members.keys() <= set(_MEMBERS):
        raise ValueError(f"must give plan '{name}' an object with none but {', '.join(_MEMBERS)}")
    models = members.get("models")
    if models is not None and not (isinstance(models, list) and all(isinstance(one, str) for one in models)):
        raise ValueError(f"must give plan '{name}' its 'models' as a list of names")
    spend = members.get("spend")
    if isinstance(spend, bool) or not isinstance(spend, int | Decimal | None):
        raise ValueError(f"must give plan '{name}' its 'spend' in US dollars")
    return Plan(
        _whole(name, members, "calls"),
        _whole(name, members, "tokens"),
        None if spend is None else dollars(str(spend)),
        None if models is None else frozenset(models),
    )


def _whole(name: str, members: Mapping[str, object], member: str) -> int | None:
    value = members.get(member)
    if value is not None and (type(value) is not int or not 0 <= value <= 10**15):
        raise ValueError(f"must give plan '{name}' its '{member}' as a whole number")
    return value


def plan_in(claims: Mapping[str, object], path: tuple[str, ...]) -> str | None:
    """Return the plan that a token's claims name; None if they name none."""
    value: object = claims
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else None
