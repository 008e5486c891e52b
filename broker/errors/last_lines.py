"""The last line of a stream that breaks off: what the client gets in place of the rest of its answer. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from broker.errors import bodies
from broker.errors.base import Fault


def stream_line(_: Fault) -> bytes:
    """Return the last line of `/stream`. The wire contract fixes it."""
    return b'{"error": "Error while streaming"}\n'


def chat_event(fault: Fault) -> bytes:
    """Return the last event of a chat completion. OpenAI's SDKs raise it as an `APIError`."""
    return b"data: %s\n\n" % json.dumps(bodies.openais(fault)).encode()


def responses_event(fault: Fault, number: int, code: str) -> bytes:
    """Return the `error` event of a response: https://platform.openai.com/docs/api-reference/responses-streaming/error.

    OpenAI sends the members below `error`, its documentation has them beside `type`, and clients read either.
    `number` is the event's `sequence_number`.
    """
    body: Any = bodies.openais(fault)["error"]
    body["code"] = code
    members = {name: body[name] for name in ("code", "message", "param")}
    return event("error", {"type": "error", "sequence_number": number, **members, "error": body})


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """Return a server-sent event as OpenAI writes it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode("utf-8", "replace")
