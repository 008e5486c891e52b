"""The state of one request from its first hook to its last byte, and the cleanups at its end."""

import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

from flask import request

from broker.active_calls import OpenCall
from broker.caller import Caller
from broker.errors.base import BodyTooLarge, ClientLeft
from broker.errors.limits import RequestTooSlow
from broker.openai.prepared_call import Charge, PreparedCall
from broker.quota.budgets.usage_levels import DailyUsage
from broker.quota.calls.reservation import NOTHING, Reservation
from broker.web import services as app_services
from broker.web.services import services

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNMATCHED = "unmatched"  # the endpoint of a request without a route


@dataclass(slots=True)
class RequestContext:
    """The state of the current request. `end` runs exactly once, in every case.

    `usage` is OpenAI's usage object of the answer, {} if it sent none; `delivered_tokens` the estimated tokens sent to
    the client, which are charged if OpenAI sent no usage. `charge` is the final charge of the call. `before_charge` is
    called with it once, before it is written and before the client gets the end of its answer.
    """

    request_id: str
    method: str
    endpoint: str
    started: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    daily_usage: DailyUsage | None = None
    reservation: Reservation | None = None
    prepared: PreparedCall | None = None
    body: bytes = field(default=b"", repr=False)
    call: OpenCall | None = None
    model: str | None = None
    openai_id: str | None = None
    dropped_parameters: tuple[str, ...] = ()  # left out because the model refuses them
    usage: dict[str, Any] = field(default_factory=dict)
    delivered_tokens: int = 0
    charge: Charge | None = None
    before_charge: Callable[[Charge], object] | None = None
    outcome: str = "answered"
    reason: str | None = None  # of a 401, for the operator
    is_stream: bool = False
    is_answered: bool = False
    _cleanups: list[Callable[[], object]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Seconds since the request began."""
        return time.monotonic() - self.started

    def at_end(self, cleanup: Callable[[], object]) -> None:
        """Call `cleanup` when the request is over, last registered first."""
        self._cleanups.append(cleanup)

    def take_body(self) -> bytes:
        """Return the request's body and release it: it may have megabytes, and an answer may take minutes."""
        body, self.body = self.body, b""
        return body

    def end(self) -> None:
        """Run the cleanups. A second call does nothing."""
        if self._cleanups:
            try:
                self._cleanups.pop()()
            finally:
                self.end()

    def settle(self, *, is_last: bool = False) -> None:
        """Count the call, because OpenAI has begun to answer. `is_last`: the whole answer has arrived."""
        if self.reservation:
            self.reservation.settle(is_last=is_last)

    def finish(self) -> None:
        """End the call: charge its usage, or give it back if OpenAI did not begin to answer. Idempotent."""
        reservation = self.reservation
        if not reservation or not reservation.is_open:
            return
        is_abandoned = bool(self.outcome == ClientLeft.code and self.call and self.call.awaits_openai)
        charge = self.prepared.charge(self.usage, self.delivered_tokens) if self.prepared else None
        if charge and self.before_charge:
            self.before_charge(charge)
        reservation.finish(charge.amounts if charge else NOTHING, is_abandoned=is_abandoned)
        self.daily_usage = reservation.daily_usage
        if reservation.is_settled:
            self.charge = charge


_current: ContextVar[RequestContext] = ContextVar("request_context")  # Flask's `g` takes twenty times as long


def begin() -> None:
    """Begin a request. Its id is the client's `X-Request-Id` if that is well-formed, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    rule = request.url_rule
    _current.set(RequestContext(request_id, request.method, rule.rule if rule else UNMATCHED))
    app_services.begin()


def current() -> RequestContext:
    """Return the current request's context."""
    return _current.get()


def caller() -> Caller:
    """Return the user who sent the current request. A guard has authenticated them."""
    return cast("Caller", current().caller)


def daily_usage() -> DailyUsage:
    """Return the user's usage of the day, which a guard has read."""
    return cast("DailyUsage", current().daily_usage)


def prepared() -> PreparedCall:
    """Return the checked request, for which the guard has made a reservation."""
    return cast("PreparedCall", current().prepared)


def open_call() -> OpenCall:
    """Return the current request's call, which ends when the client leaves. Raises `WorkerBusy`."""
    context = current()
    if context.call is None:
        context.call = services().calls.begin(request.environ.get("gunicorn.socket"))
        context.at_end(context.call.close)
    return context.call


def read_body() -> None:
    """Read the whole body into the context.

    Raises `RequestTooSlow` if the body does not arrive in time, `BodyBroken` if it is cut short, `BodyTooLarge`,
    `TooManyBytesInFlight`, `WorkerBusy`, or the fault that interrupts the call.
    """
    call, service, context = open_call(), services(), current()
    most = service.settings.max_body_bytes
    size = _announced_size(most)
    context.at_end(service.bodies.take(caller().id, size))
    try:
        with call.at_most(service.settings.client_timeout, RequestTooSlow):
            context.body = _whole_body(size, most)
    except (RequestTooSlow, TimeoutError):  # TimeoutError is the socket's: no data arrived at all
        call.stop_listening()
        raise RequestTooSlow from None


def _announced_size(most: int) -> int:
    """Return the body's size in bytes: `most` if it is chunked, 0 without a known end. Raises `BodyTooLarge`."""
    length = request.content_length
    if length is None:
        return most if request.environ.get("wsgi.input_terminated") else 0
    if length > most:
        raise BodyTooLarge(details={"limit": most})
    return length


def _whole_body(size: int, most: int) -> bytes:
    """Read the body without the copies that Werkzeug's `get_data` makes. Raises `BodyTooLarge`."""
    if not size:
        return b""
    body: bytes = request.environ["wsgi.input"].read(size if request.content_length is not None else most + 1)
    if len(body) > most:
        raise BodyTooLarge(details={"limit": most})
    return body
