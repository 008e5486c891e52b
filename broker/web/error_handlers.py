"""Turns every fault of a request into an error response."""

import json
import logging
import math

from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from broker.errors import bodies
from broker.errors.base import Fault, Unauthenticated
from broker.errors.openai import OpenAIRefusedKey, UpstreamFault
from broker.errors.openai_paths import is_openai_path, unknown_endpoint
from broker.errors.request import MethodWrong, RequestMalformed
from broker.web import request_context
from broker.web.flask_app import Response
from broker.web.services import Services, services

log = logging.getLogger(__name__)

JSON = "application/json"
# The longest `Retry-After`, in seconds, that an SDK may wait out. Some of OpenAI's SDKs wait any time, but none
# retries if `x-should-retry` is false (openai-node, `client.ts`; openai-python, `_base_client.py`).
LONGEST_WAIT = 60
# The longest `Retry-After` under /v1, in seconds. Some clients wait out any (ky, unless `maxRetryAfter` is set).
LONGEST_RETRY_AFTER = 3600


def register(app: Flask) -> None:
    """Register the error handlers of `app`."""
    app.register_error_handler(Fault, respond)
    app.register_error_handler(HTTPException, _respond_to_http_exception)
    app.register_error_handler(Exception, _respond_to_exception)


def respond(fault: Fault) -> Response:
    """Return the error response of `fault`."""
    note_outcome(request_context.current(), services(), fault)
    body = bodies.body_of(fault, request.path)
    response = Response(json.dumps(body) + "\n", fault.status, mimetype=JSON)
    wait = fault.retry_after or 1
    has_wait = fault.status in (429, 503) or fault.retry_after is not None
    if has_wait and (wait <= LONGEST_RETRY_AFTER or not is_openai_path(request.path)):
        response.headers["Retry-After"] = str(math.ceil(wait))
    if not fault.should_retry or (fault.retry_after or 0) > LONGEST_WAIT:
        response.headers["x-should-retry"] = "false"
    if fault.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 6750, 3
    return response


def note_outcome(context: request_context.RequestContext, service: Services, fault: Fault | None) -> None:
    """Record how the request ended: with `fault`, or well (None)."""
    context.outcome = fault.code if fault else "answered"
    if isinstance(fault, UpstreamFault):
        service.metrics.upstream_failed(fault.code)
    if isinstance(fault, Unauthenticated):
        context.reason = fault.reason
        service.metrics.sign_in_refused(fault.reason)
    if isinstance(fault, OpenAIRefusedKey):
        service.catalogue.check_key()


def _respond_to_http_exception(error: HTTPException) -> Response:
    """Respond to Werkzeug's own errors in the contract's words."""
    response = respond(_fault_of(error))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _fault_of(error: HTTPException) -> Fault:
    if isinstance(error, NotFound):
        return unknown_endpoint(request.path, _offered())
    if isinstance(error, MethodNotAllowed):
        return MethodWrong()
    fault = RequestMalformed() if (error.code or 500) < 500 else Fault()
    fault.status = error.code or 500
    return fault


def _offered() -> list[str]:
    """Return the paths under /v1, those with a parameter left out."""
    rules = [rule.rule for rule in current_app.url_map.iter_rules()]
    return [rule for rule in rules if rule.startswith("/v1/") and "<" not in rule]


def _respond_to_exception(error: Exception) -> Response:
    """Respond to a bug: the traceback goes to the log, the client gets a general sentence."""
    log.error(
        "a request failed in the broker", exc_info=error, extra={"request_id": request_context.current().request_id}
    )
    return respond(Fault())
