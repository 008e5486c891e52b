"""The OpenTelemetry span of a call: what the log line tells, in the names of the semantic conventions."""

from broker.openai.counting.token_usage import TokenUsage
from broker.telemetry.spans import Parent, Span
from broker.web.request_context import RequestContext

CHAT = "chat"  # https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/#gen-ai-operation-name


def span_of(context: RequestContext, status: int, usage: TokenUsage | None, traceparent: str | None) -> Span:
    """Return the span of a call that has ended. It holds no user, prompt, answer or token."""
    is_good = context.outcome == "answered"
    return Span(
        Parent.read(traceparent),
        f"{CHAT} {context.model}",
        context.seconds,
        {
            "gen_ai.operation.name": CHAT,
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": context.model,
            "gen_ai.usage.input_tokens": usage.input if usage else None,
            "gen_ai.usage.output_tokens": usage.output if usage else None,
            "http.request.method": context.method,
            "http.route": context.endpoint,
            "http.response.status_code": status,
            "gpt_broker.request_id": context.request_id,
            "gpt_broker.stream": context.is_stream,
        },
        "" if is_good else context.outcome,
    )
