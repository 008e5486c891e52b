"""Who may pass. Each endpoint family names its guard, also the one that lets anyone in."""

import datetime
import math
import operator
from collections.abc import Callable

from flask import Response, request
from werkzeug.exceptions import MethodNotAllowed

from broker.caller import Caller
from broker.errors.base import ApiKeyAlone, DailyLimitReached, NetworkNotListed
from broker.errors.request import BodyEncoded
from broker.quota.quota import DailyUsage
from broker.settings import networks
from broker.web import request_context
from broker.web.client_ip import client_address
from broker.web.services import services

DAY = 86_400  # seconds


def anyone() -> None:
    """No token is asked for."""


def listed_network() -> None:
    """No token, but a client in METRICS_ALLOW, also where a proxy asks on its behalf. Raises `NetworkNotListed`."""
    fields = (request.headers.getlist(name) for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"))
    if not networks.all_within(
        services().settings.metrics_allow, request.remote_addr or "", networks.addresses_in(*fields)
    ):
        raise NetworkNotListed


def signed_in() -> None:
    """A Supabase user, with or without calls left. Raises as `Authenticator.authenticate` and `Quota.daily_usage`."""
    request_context.current().daily_usage = services().quota.daily_usage(_sign_in(operator.call))


def counted() -> None:
    """A Supabase user with a call left today, which is now reserved; and the body of the request is here.

    The client is watched from now on. Raises as `Authenticator.authenticate`, `OpenCalls.begin`, `Quota.reserve` and
    `visit.read_body`, `DailyLimitReached`, and `BodyEncoded`.
    """
    if request.method == "HEAD":  # Flask lets it follow GET; a call would be paid for and thrown away
        raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])
    context = request_context.current()
    caller = _sign_in(lambda judge: request_context.open_call().run_detached(judge))
    outcome = services().quota.reserve(caller, waiting=request_context.open_call())
    if isinstance(outcome, DailyUsage):
        context.daily_usage = outcome
        services().metrics.quota_refusals.inc()
        raise _over_the_limit(outcome)
    context.reservation, context.daily_usage = outcome, outcome.daily_usage
    context.at_end(context.leave)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise BodyEncoded
    request_context.read_body()


def leave(response: Response) -> Response:
    """On the way out: give an unanswered call back before the client can ask again, and tell the daily_usage."""
    context = request_context.current()
    if not context.is_stream:
        context.give_back()
    if context.daily_usage:
        response.headers.add("RateLimit-Policy", f'"daily";q={context.daily_usage.limit};w={DAY}')
        reset = _seconds_left(context.daily_usage)
        response.headers.add("RateLimit", f'"daily";r={context.daily_usage.remaining};t={reset}')
    return response


def _sign_in(apart: Callable[[Callable[[], None]], None]) -> Caller:
    if "Authorization" not in request.headers and "apikey" in request.headers:
        raise ApiKeyAlone
    caller = services().authenticator.authenticate(request.headers.get("Authorization"), _address, apart)
    request_context.current().caller = caller
    return caller


def _address() -> str:
    forwarded = request.headers.get("X-Forwarded-For", "")
    return client_address(request.remote_addr or "", forwarded, services().settings.trusted_proxies)


def _over_the_limit(daily_usage: DailyUsage) -> DailyLimitReached:
    details = {"limit": daily_usage.limit, "resets_at": iso(daily_usage.resets_at)}
    return DailyLimitReached(retry_after=_seconds_left(daily_usage), details=details)


def iso(time: int) -> str:
    """A Unix time as RFC 3339 has it, in UTC."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).isoformat()


def _seconds_left(daily_usage: DailyUsage) -> int:
    return max(1, math.ceil(daily_usage.resets_at - services().clock()))
