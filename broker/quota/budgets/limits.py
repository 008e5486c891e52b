"""The limits of a caller: the plan that the token names over the tenant's defaults. Pure."""

from dataclasses import dataclass

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
        self._settings = settings
        self._plans = dict(settings.plans.plans)
        self._plans.setdefault(ANONYMOUS, Plan(calls=settings.anonymous_daily_limit))

    def limits_of(self, caller: Caller) -> Limits:
        """Return a caller's limits. An unknown plan counts as none; anonymous users have a plan of their own."""
        settings = self._settings
        name = ANONYMOUS if caller.is_anonymous else caller.plan
        plan = self._plans.get(name) if name else None
        if plan is None or name is None:
            name, plan = DEFAULT, Plan()
        return Limits(
            plan=name,
            calls=settings.daily_limit if plan.calls is None else plan.calls,
            tokens=settings.daily_tokens if plan.tokens is None else plan.tokens,
            spend=settings.daily_spend if plan.spend is None else plan.spend,
            models=plan.models,
            is_exempt=caller.id in settings.id_white_list,
        )
