"""OpenTelemetry spans, one a call, without prompt, answer, token or user.

Trace context: https://www.w3.org/TR/trace-context/. Attribute names: OpenTelemetry's semantic conventions for HTTP and
for generative AI, https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. JSON form of a span:
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.
"""

import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, Self

SERVER = 2  # SpanKind
ERROR = 2  # StatusCode
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Parent:
    """The caller's place in a trace. `span_id` is empty if the call begins the trace."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    @classmethod
    def read(cls, traceparent: str | None) -> Self:
        """Return the parent that a `traceparent` field names. A missing or malformed one begins a new trace."""
        found = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
        if found:
            version, trace_id, span_id, flags, more = found.groups()
            if version != "ff" and (version != "00" or not more) and int(trace_id, 16) and int(span_id, 16):
                return cls(trace_id, span_id, bool(int(flags, 16) & 1))
        return cls(secrets.token_hex(16), "")


@dataclass(frozen=True, slots=True)
class Span:
    """One call that has ended. `error` is the code of the fault that ended it, empty if it ended well."""

    parent: Parent
    name: str
    seconds: float
    attributes: dict[str, Value]
    error: str = ""

    def encoded(self) -> dict[str, Any]:
        """Return the span in OTLP's JSON form. It ends now."""
        end = time.time_ns()
        attributes = self.attributes | ({"error.type": self.error} if self.error else {})
        return {
            "traceId": self.parent.trace_id,
            "spanId": secrets.token_hex(8),
            **({"parentSpanId": self.parent.span_id} if self.parent.span_id else {}),
            "name": self.name,
            "kind": SERVER,
            "startTimeUnixNano": str(end - int(self.seconds * 1e9)),
            "endTimeUnixNano": str(end),
            "attributes": encoded_attributes(attributes),
            "status": {"code": ERROR} if self.error else {},
        }


def encoded_attributes(attributes: dict[str, Value]) -> list[dict[str, Any]]:
    """Return attributes in OTLP's JSON form. Those that are None are left out."""
    return [{"key": name, "value": _encoded(value)} for name, value in attributes.items() if value is not None]


def _encoded(value: str | float | bool) -> dict[str, Any]:  # noqa: FBT001 - an attribute's value
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # protobuf's JSON form of 64-bit integers
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}
