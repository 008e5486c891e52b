"""The only place where a fault becomes bytes: an error answer, or the last line of a stream already begun."""

import functools
import json
import logging
import math
from collections.abc import Callable, Iterator
from typing import cast

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from broker.errors import bodies
from broker.errors.base import ClientLeft, EndpointUnknown, Fault, MethodWrong
from broker.errors.openai import OpenAIRefusedKey, UpstreamFault
from broker.errors.request import RequestMalformed
from broker.web import request_context
from broker.web.services import Services, services

log = logging.getLogger(__name__)

JSON = "application/json"
# Seconds for which `Retry-After` may keep a page waiting. Some of OpenAI's SDKs wait for as long as they are told, but
# none asks a second time where `x-should-retry` is false (openai-node, `client.ts`; openai-python, `_base_client.py`).
LONGEST_WAIT = 60
_NO_BUFFERING = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter: nginx's ngx_http_proxy_module
_OF_STATUS = {NotFound: EndpointUnknown, MethodNotAllowed: MethodWrong}


def register(app: Flask) -> None:
    """Let every fault of `app` leave through here."""
    app.register_error_handler(Fault, refusal)
    app.register_error_handler(HTTPException, _http_refusal)
    app.register_error_handler(Exception, _accident)


def refusal(fault: Fault) -> Response:
    """The error answer that `fault` stands for."""
    _note(request_context.current(), services(), fault)
    body = bodies.body_of(fault, request.path)
    response = Response(json.dumps(body) + "\n", fault.status, mimetype=JSON)
    if fault.status in (429, 503):
        response.headers["Retry-After"] = str(math.ceil(fault.retry_after or 1))
    if not fault.should_retry or (fault.retry_after or 0) > LONGEST_WAIT:
        response.headers["x-should-retry"] = "false"
    if fault.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, 3
    return response


class _StreamBody:
    """The pieces of a stream, and what is to be done at its end."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class _StreamResponse(Response):
    """One whose pieces are bytes, and go straight to the server: Werkzeug would pass each through three calls more."""

    def get_app_iter(self, _: object) -> _StreamBody:
        """The body. Its `close` closes the pieces too, as they are what Werkzeug knows as the response."""
        return _StreamBody(cast("Iterator[bytes]", self.response), self.close)


def stream(lines: Iterator[bytes], last_line: Callable[[Fault], bytes], mimetype: str) -> Response:
    """An answer sent as it arrives; a fault on the way becomes its last line."""
    present = request_context.current()
    present.is_stream = True
    present.outcome = ClientLeft.code  # unless it comes to its end
    body = _until_fault(lines, last_line, functools.partial(_note, present, services()))
    return _StreamResponse(body, mimetype=mimetype, headers=_NO_BUFFERING)


def error_event(fault: Fault) -> bytes:
    """The last event of a stream in OpenAI's format: its SDKs raise an `APIError` with what is in it."""
    return b"data: %s\n\n" % json.dumps(bodies.openais(fault)).encode()


def _until_fault(
    lines: Iterator[bytes], last_line: Callable[[Fault], bytes], note: Callable[[Fault | None], None]
) -> Iterator[bytes]:
    try:
        yield from lines
        note(None)
    except ClientLeft:
        return
    except Fault as fault:
        note(fault)
        yield last_line(fault)
    except Exception as error:
        log.error("a stream failed in the broker", exc_info=error)
        note(Fault())
        yield last_line(Fault())


def _note(present: request_context.Visit, parts: Services, fault: Fault | None) -> None:
    """How the request ended: in `fault`, or well."""
    present.outcome = fault.code if fault else "answered"
    if isinstance(fault, UpstreamFault):
        parts.metrics.upstream_failed(fault.code)
    if isinstance(fault, OpenAIRefusedKey):
        parts.catalogue.look_again()


def _http_refusal(error: HTTPException) -> Response:
    """Werkzeug's own refusals, in the contract's words."""
    for kind, fault in _OF_STATUS.items():
        if isinstance(error, kind):
            response = refusal(fault())
            break
    else:
        response = refusal(_other(error))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _other(error: HTTPException) -> Fault:
    fault = RequestMalformed() if (error.code or 500) < 500 else Fault()
    fault.status = error.code or 500
    return fault


def _accident(error: Exception) -> Response:
    """A mistake of ours: the log gets its kind and place, the client only that it happened."""
    log.error(
        "a request failed in the broker", exc_info=error, extra={"request_id": request_context.current().request_id}
    )
    return refusal(Fault())
