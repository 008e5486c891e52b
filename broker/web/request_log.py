"""What is written down of a request when its last byte is gone: one log line, and its metrics.

The line holds the user's id, for the operator; it holds no token, no prompt, no answer and no query.
"""

import logging

from flask import Response, request

from broker.telemetry.metrics import MOST_TOKENS
from broker.web import request_context
from broker.web.services import Services, services

log = logging.getLogger("broker.request")

UNLOGGED = frozenset({"/health", "/metrics"})
UNMEASURED = "/metrics"


def note(response: Response) -> Response:
    """Have the request written down once its answer is sent, or broken off."""
    context, service = request_context.current(), services()
    context.is_answered = True
    response.headers.add("X-Request-Id", context.request_id)
    if context.dropped_parameters:
        response.headers.add("X-Dropped-Parameters", ", ".join(context.dropped_parameters))
    response.direct_passthrough = False  # Werkzeug does not call `close` of a file that is passed through
    status, delivery = response.status_code, request.environ.get("broker.delivery", {})

    def close() -> None:
        context.end()
        context.outcome = delivery.get("failure", context.outcome)
        _measure(context, status, service)
        if context.endpoint not in UNLOGGED:
            log.info("request", extra=_line(context, status))

    response.call_on_close(close)
    return response


def end_unanswered(_: BaseException | None) -> None:
    """A request that was broken off before it had an answer: whatever it holds is undone all the same."""
    context = request_context.current()
    if not context.is_answered:
        context.end()


def _measure(context: request_context.RequestContext, status: int, service: Services) -> None:
    if context.endpoint != UNMEASURED:
        service.metrics.request_ended(context.method, context.endpoint, status, context.seconds)
    if context.model:
        service.metrics.tokens_used(context.model, context.usage)
        if context.is_stream:
            service.metrics.stream_ended(context.model, context.outcome, context.seconds)


def _line(context: request_context.RequestContext, status: int) -> dict[str, object]:
    return {
        "request_id": context.request_id,
        "openai_id": context.openai_id,
        "method": context.method,
        "endpoint": context.endpoint,
        "status": status,
        "seconds": round(context.seconds, 6),
        "user": context.caller.id if context.caller else None,
        "model": context.model,
        "prompt_tokens": _count(context.usage.get("prompt_tokens")),
        "completion_tokens": _count(context.usage.get("completion_tokens")),
        "outcome": context.outcome,
    }


def _count(value: object) -> int | None:
    """A number of tokens; whatever else OpenAI put there stays out of the log."""
    return value if isinstance(value, int) and 0 <= value < MOST_TOKENS else None
