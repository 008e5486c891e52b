"""One log line and the metrics of each request, written when its last byte is sent.

The line holds the user's id, for the operator. It holds no token, prompt, answer or query.
"""

import logging

from flask import request

from broker.openai.counting.token_usage import TokenUsage
from broker.openai.prepared_call import Charge
from broker.settings.prices import NANO
from broker.telemetry.metrics import Metrics
from broker.web import request_context
from broker.web.flask_app import Response
from broker.web.request_context import RequestContext
from broker.web.request_span import span_of
from broker.web.services import services

log = logging.getLogger("broker.request")

UNLOGGED = frozenset({"/health", "/metrics"})
UNMEASURED = "/metrics"


def log_at_end(response: Response) -> Response:
    """Log and measure the request after its response is sent or broken off."""
    context, service = request_context.current(), services()
    context.is_answered = True
    response.headers.add("X-Request-Id", context.request_id)
    if context.dropped_parameters:
        response.headers.add("X-Dropped-Parameters", ", ".join(context.dropped_parameters))
    response.direct_passthrough = False  # Werkzeug does not call `close` of a file that is passed through
    status, delivery = response.status_code, request.environ.get("broker.delivery", {})
    traceparent = request.headers.get("traceparent") if service.spans else None

    def close() -> None:
        context.end()
        context.outcome = delivery.get("failure", context.outcome)
        usage = _usage(context)
        _measure(context, status, usage, service.metrics)
        if context.endpoint not in UNLOGGED:
            log.info("request", extra=_line(context, status, usage))
        if service.spans and context.model:
            service.spans.add(span_of(context, status, usage, traceparent))

    response.call_on_close(close)
    return response


def end_unanswered(_: BaseException | None) -> None:
    """Run the cleanups of a request that was broken off before it had a response."""
    context = request_context.current()
    if not context.is_answered:
        context.end()


def _usage(context: RequestContext) -> TokenUsage | None:
    """Return what OpenAI counted."""
    charge = context.charge
    return charge.usage if charge and not charge.is_estimated else TokenUsage.read(context.usage)


def _measure(context: RequestContext, status: int, usage: TokenUsage | None, metrics: Metrics) -> None:
    if context.endpoint != UNMEASURED:
        metrics.request_ended(context.method, context.endpoint, status, context.seconds)
    if not context.model:
        return
    if usage:
        metrics.budgets.tokens_used(context.model, usage)
    if charge := context.charge:
        metrics.budgets.call_charged(context.model, charge.nano_dollars or 0, is_estimated=charge.is_estimated)
    if context.is_stream:
        metrics.stream_ended(context.model, context.outcome, context.seconds)


def _line(context: RequestContext, status: int, usage: TokenUsage | None) -> dict[str, object]:
    return {
        "request_id": context.request_id,
        "openai_id": context.openai_id,
        "method": context.method,
        "endpoint": context.endpoint,
        "status": status,
        "seconds": round(context.seconds, 6),
        "user": context.caller.id if context.caller else None,
        "model": context.model,
        "prompt_tokens": usage.input if usage else None,
        "completion_tokens": usage.output if usage else None,
        **_cost(context.charge),
        **_watched(context),
        "outcome": context.outcome,
        **({"reason": context.reason} if context.reason else {}),
    }


def _cost(charge: Charge | None) -> dict[str, object]:
    """Return the charge for a call that counts, in tokens and in dollars, and whether it is an estimate."""
    if charge is None:
        return {}
    dollars = None if charge.nano_dollars is None else charge.nano_dollars / NANO
    return {"tokens": charge.usage.total, "dollars": dollars, "estimated": charge.is_estimated}


def _watched(context: RequestContext) -> dict[str, object]:
    """Return the limits that would have refused the call, which BUDGETS=watch let through."""
    limits = context.reservation.watched if context.reservation else ()
    return {"would_refuse": limits} if limits else {}
