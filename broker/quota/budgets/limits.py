"""The limits of a caller: the plan that the token names over the tenant's defaults. Pure."""

from dataclasses import dataclass, replace

from broker.caller import Caller
from broker.settings.plans import ANONYMOUS, Plan
from broker.settings.settings import Settings

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Limits:
    """A caller's limits a UTC day, None for no limit; `spend` in nano-dollars; `models`: allowed names, None for all.

    `is_exempt`: the caller is counted and never refused.
    """

    plan: str
    calls: int
    tokens: int | None = None
    spend: int | None = None
    models: frozenset[str] | None = None
    is_exempt: bool = False

    @property
    def are_amounts_limited(self) -> bool:
        """Whether the caller's tokens or money have a limit, so that an answer's length has to be bounded."""
        return not self.is_exempt and (self.tokens is not None or self.spend is not None)


class LimitRules:
    """The operator's rules."""

    def __init__(self, settings: Settings) -> None:
        anonymous = settings.plans.plans.get(ANONYMOUS, Plan())
        if anonymous.calls is None:
            anonymous = replace(anonymous, calls=settings.anonymous_daily_limit)
        plans = {**settings.plans.plans, ANONYMOUS: anonymous}
        self._default = _limits(settings, DEFAULT, Plan())
        self._limits = {name: _limits(settings, name, plan) for name, plan in plans.items()}
        self._white_list = settings.id_white_list

    def limits_of(self, caller: Caller) -> Limits:
        """Return a caller's limits. An unknown plan counts as none; anonymous users have a plan of their own."""
        name = ANONYMOUS if caller.is_anonymous else caller.plan
        limits = self._limits.get(name, self._default) if name else self._default
        return replace(limits, is_exempt=True) if caller.id in self._white_list else limits


def _limits(settings: Settings, name: str, plan: Plan) -> Limits:
    return Limits(
        plan=name,
        calls=settings.daily_limit if plan.calls is None else plan.calls,
        tokens=settings.daily_tokens if plan.tokens is None else plan.tokens,
        spend=settings.daily_spend if plan.spend is None else plan.spend,
        models=plan.models,
    )
