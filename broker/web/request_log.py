"""What is written down of a request when its last byte is gone: one log line, and its metrics.

The line holds the user's id, for the operator; it holds no token, no prompt, no answer and no query.
"""

import logging

from flask import Response

from broker.telemetry.metrics import MOST_TOKENS
from broker.web import request_context
from broker.web.services import Services, services

log = logging.getLogger("broker.request")

UNLOGGED = frozenset({"/health", "/metrics"})
UNMEASURED = "/metrics"


def note(response: Response) -> Response:
    """Have the request written down once its answer is sent, or broken off."""
    present, parts = request_context.current(), services()
    present.is_answered = True
    response.headers.add("X-Request-Id", present.request_id)
    status = response.status_code

    def close() -> None:
        present.end()
        _measure(present, status, parts)
        if present.endpoint not in UNLOGGED:
            log.info("request", extra=_line(present, status))

    response.call_on_close(close)
    return response


def end_unanswered(_: BaseException | None) -> None:
    """A request that was broken off before it had an answer: whatever it holds is undone all the same."""
    present = request_context.current()
    if not present.is_answered:
        present.end()


def _measure(present: request_context.Visit, status: int, parts: Services) -> None:
    if present.endpoint != UNMEASURED:
        parts.metrics.request_ended(present.method, present.endpoint, status, present.seconds)
    if present.model:
        parts.metrics.tokens_used(present.model, present.usage)
        if present.is_stream:
            parts.metrics.stream_ended(present.model, present.outcome, present.seconds)


def _line(present: request_context.Visit, status: int) -> dict[str, object]:
    return {
        "request_id": present.request_id,
        "openai_id": present.openai_id,
        "method": present.method,
        "endpoint": present.endpoint,
        "status": status,
        "seconds": round(present.seconds, 6),
        "user": present.caller.id if present.caller else None,
        "model": present.model,
        "prompt_tokens": _count(present.usage.get("prompt_tokens")),
        "completion_tokens": _count(present.usage.get("completion_tokens")),
        "outcome": present.outcome,
    }


def _count(value: object) -> int | None:
    """A number of tokens; whatever else OpenAI put there stays out of the log."""
    return value if isinstance(value, int) and 0 <= value < MOST_TOKENS else None
