"""Guards decide who may call an endpoint. Each endpoint family names its guard, even the one that admits everyone.

A family of counted endpoints registers `counted`, and each of its views the reader of its requests:

    blueprint.before_request(guards.counted)

    @blueprint.post("/v1/…")
    @guards.reads(_read)
    def create() -> Response: ...

The reader takes the body from the request context, checks it, and returns a `PreparedCall`; it raises a `CallerFault`
for a wrong request. `counted` reserves calls, tokens and money for it in one step. Clients see 401, then 429, then 400:
a reader's fault is raised after the reservation was tried, and costs nothing. The view gets the request with
`request_context.prepared()`.
"""

import datetime
import math
import operator
from collections.abc import Callable
from typing import Any

from flask import current_app, request
from werkzeug.exceptions import MethodNotAllowed

from broker.caller import Caller
from broker.errors.base import ApiKeyAlone, CallerFault, DailyLimitReached
from broker.errors.limits import (
    DailySpendReached,
    DailyTokensReached,
    ModelNotInPlan,
    NetworkNotListed,
    TenantBudgetExhausted,
    TooManyCallsInFlight,
)
from broker.errors.request import BodyEncoded
from broker.openai.prepared_call import PreparedCall
from broker.quota.budgets.usage_levels import DailyUsage, Level
from broker.quota.calls.records import LEAST, Demand
from broker.quota.calls.reservation import Refusal, Reservation
from broker.settings import networks
from broker.settings.prices import NANO
from broker.web import request_context
from broker.web.client_ip import client_address
from broker.web.flask_app import Response
from broker.web.request_context import RequestContext
from broker.web.services import services

DAY = 86_400  # seconds
Reader = Callable[[], PreparedCall]
_REFUSALS = {"calls": DailyLimitReached, "tokens": DailyTokensReached, "spend": DailySpendReached}


def anyone() -> None:
    """Admit every request."""


def listed_network() -> None:
    """Admit clients in METRICS_ALLOW, also behind a proxy, without a token. Raises `NetworkNotListed`."""
    fields = (request.headers.getlist(name) for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"))
    if not networks.all_within(
        services().settings.metrics_allow, request.remote_addr or "", networks.addresses_in(*fields)
    ):
        raise NetworkNotListed


def signed_in() -> None:
    """Admit a Supabase user, even without calls left. Raises as `Authenticator.authenticate`, `Quota.daily_usage`."""
    request_context.current().daily_usage = services().quota.daily_usage(_authenticate(operator.call))


def reads(reader: Reader) -> Callable[[Any], Any]:
    """Decorate a counted view with the reader of its requests."""

    def decorate(view: Any) -> Any:
        view.reader = reader
        return view

    return decorate


def counted() -> None:
    """Admit a Supabase user whose limits leave enough for this request. Reads and checks it, and reserves for it.

    Begins to watch the client's connection. Raises as `Authenticator.authenticate`, `OpenCalls.begin`, `Quota.reserve`,
    `request_context.read_body` and the view's reader; `BodyEncoded`, `ModelNotInPlan`, and the fault of a limit.
    """
    context = request_context.current()
    if context.method == "HEAD":  # Flask would answer it like GET, and discard a paid answer
        raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])
    caller = _authenticate(lambda check: request_context.open_call().run_detached(check))
    request_context.open_call().user = caller.id
    try:
        context.prepared = _read(caller)
    except CallerFault as fault:
        _reserve(context, caller)
        raise fault from None
    _reserve(context, caller)


def finish(response: Response) -> Response:
    """After each request: end an unstreamed call before the client can ask again, and add the RateLimit fields.

    https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
    """
    context = request_context.current()
    if not context.is_stream:
        context.finish()
    if usage := context.daily_usage:
        seconds = _seconds_left(usage)
        policies, states = (
            [f'"daily";q={usage.calls.limit};w={DAY}'],
            [f'"daily";r={usage.remaining_calls};t={seconds}'],
        )
        if usage.tokens.limit is not None:
            policies.append(f'"daily-tokens";q={usage.tokens.limit};w={DAY};qu="tokens"')
            states.append(f'"daily-tokens";r={usage.tokens.remaining};t={seconds}')
        response.headers.add("RateLimit-Policy", ", ".join(policies))
        response.headers.add("RateLimit", ", ".join(states))
    return response


def _read(caller: Caller) -> PreparedCall:
    if request.headers.get("Content-Encoding", "").lower() not in ("", "identity"):  # RFC 9110, 8.4.1
        raise BodyEncoded
    request_context.read_body()
    view: Any = current_app.view_functions[request.endpoint or ""]
    prepared: PreparedCall = view.reader()
    models = services().quota.limits_of(caller).models
    if models is not None and prepared.model not in models:
        raise ModelNotInPlan
    return prepared


def _reserve(context: RequestContext, caller: Caller) -> None:
    service, prepared = services(), context.prepared
    demand = Demand(*prepared.demand(service.settings)) if prepared else LEAST
    outcome = service.quota.reserve(caller, demand, waiting=request_context.open_call())
    context.daily_usage = outcome.daily_usage
    if isinstance(outcome, Refusal):
        if outcome.limit == "places":
            raise TooManyCallsInFlight(retry_after=1)
        if outcome.limit == "tenant":
            raise TenantBudgetExhausted(retry_after=_seconds_to_midnight())
        service.metrics.quota_refusals.inc()
        raise _fault_of(outcome)
    context.reservation = outcome
    context.at_end(context.finish)
    if prepared:
        context.model = prepared.model
        _bound(prepared, outcome)


def _bound(prepared: PreparedCall, reservation: Reservation) -> None:
    """Bound the answer to the reservation if the user's tokens or money are limited."""
    if reservation.record.limits.are_amounts_limited and services().settings.budgets == "enforce":
        prepared.bound_output(reservation.output_tokens)


def _authenticate(run: Callable[[Callable[[], None]], None]) -> Caller:
    headers = request.headers
    authorization = headers.get("Authorization")
    if authorization is None and "apikey" in headers:
        raise ApiKeyAlone
    caller = services().authenticator.authenticate(authorization, _address, run)
    request_context.current().caller = caller
    return caller


def _address() -> str:
    forwarded = request.headers.get("X-Forwarded-For", "")
    return client_address(request.remote_addr or "", forwarded, services().settings.trusted_proxies)


def _fault_of(refusal: Refusal) -> DailyLimitReached:
    usage = refusal.daily_usage
    level: Level = getattr(usage, refusal.limit)
    unit = NANO if refusal.limit == "spend" else 1
    details = {
        "limit": (level.limit or 0) / unit if unit > 1 else level.limit,
        "limited": refusal.limit,
        "remaining": (level.remaining or 0) / unit if unit > 1 else level.remaining,
        "resets_at": iso(usage.resets_at),
    }
    return _REFUSALS[refusal.limit](retry_after=_seconds_left(usage), details=details)


def iso(time: int) -> str:
    """Return a Unix time in RFC 3339's format, in UTC."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat()


def _seconds_left(usage: DailyUsage) -> int:
    return max(1, math.ceil(services().quota.seconds_until(usage.resets_at)))


def _seconds_to_midnight() -> int:
    return max(1, math.ceil(services().quota.seconds_until(0) % DAY))
