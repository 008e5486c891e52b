"""One request from its first hook to its last byte: who, what, and what has to be undone at its end."""

import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import cast

from flask import request

from broker.active_calls import OpenCall
from broker.caller import Caller
from broker.errors.base import BodyTooLarge
from broker.errors.limits import RequestTooSlow
from broker.quota.quota import DailyUsage, Reservation
from broker.web.services import services

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNMATCHED = "unmatched"  # the endpoint of a request that no route knows


@dataclass(slots=True)
class RequestContext:
    """What is known of the present request. `end` runs exactly once, whatever becomes of it."""

    request_id: str
    method: str
    endpoint: str
    started: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    daily_usage: DailyUsage | None = None
    reservation: Reservation | None = None
    body: bytes = field(default=b"", repr=False)
    call: OpenCall | None = None
    model: str | None = None
    openai_id: str | None = None
    dropped_parameters: tuple[str, ...] = ()  # left out because the model refuses them
    usage: dict[str, object] = field(default_factory=dict)
    outcome: str = "answered"
    is_stream: bool = False
    is_answered: bool = False
    _undos: list[Callable[[], object]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    def at_end(self, undo: Callable[[], object]) -> None:
        """Call `undo` when the request is over, last registered first."""
        self._undos.append(undo)

    def take_body(self) -> bytes:
        """The request's body, which is kept no longer: it may be megabytes, and an answer may take minutes."""
        body, self.body = self.body, b""
        return body

    def end(self) -> None:
        """The request is over. A second call does nothing."""
        if self._undos:
            try:
                self._undos.pop()()
            finally:
                self.end()

    def settle(self) -> None:
        """OpenAI began to answer: the call counts."""
        if self.reservation:
            self.reservation.settle()

    def leave(self) -> None:
        """The call is over: unless it was settled, it costs nothing."""
        self.give_back()
        if self.reservation:
            self.reservation.leave()

    def give_back(self) -> None:
        """Nothing was answered: the call costs nothing, unless it was settled."""
        if self.reservation:
            self.reservation.give_back()
            self.daily_usage = self.reservation.daily_usage


_current: ContextVar[RequestContext] = ContextVar("request_context")  # Flask's `g` takes twenty times as long


def begin() -> None:
    """A request comes in. Its id is the caller's where that is well-formed, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    endpoint = request.url_rule.rule if request.url_rule else UNMATCHED
    _current.set(RequestContext(request_id, request.method, endpoint))


def current() -> RequestContext:
    """The present request's visit."""
    return _current.get()


def caller() -> Caller:
    """Who sent the present request, once a guard has asked."""
    return cast("Caller", current().caller)


def daily_usage() -> DailyUsage:
    """How the caller stood when a guard asked."""
    return cast("DailyUsage", current().daily_usage)


def open_call() -> OpenCall:
    """The present request's call, which ends when the client leaves. Raises `WorkerBusy`."""
    visit = current()
    if visit.call is None:
        visit.call = services().calls.begin(request.environ.get("gunicorn.socket"))
        visit.at_end(visit.call.close)
    return visit.call


def read_body() -> None:
    """Have the request's body here as a whole.

    Raises what broke into the call, `RequestTooSlow` where the body does not come in time, `BodyTooLarge`, and
    `BodyBroken` where it does not come to its end.
    """
    call, patience = open_call(), services().settings.client_timeout
    try:
        with call.at_most(patience, RequestTooSlow):
            current().body = _whole_body(services().settings.max_body_bytes)
    except (RequestTooSlow, TimeoutError):  # the latter is the socket's own: nothing came at all
        call.stop_listening()
        raise RequestTooSlow from None


def _whole_body(most: int) -> bytes:
    """As Werkzeug's `get_data`, less the copies that it makes of each piece."""
    length = request.content_length
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return b""  # nobody knows where it would end
    if length is not None and length > most:
        raise BodyTooLarge(details={"limit": most})
    body: bytes = request.environ["wsgi.input"].read(most + 1 if length is None else length)
    if len(body) > most:
        raise BodyTooLarge(details={"limit": most})
    return body
