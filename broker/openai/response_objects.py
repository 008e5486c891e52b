"""Reads OpenAI's response objects: ids, usage and failure. Pure.

https://platform.openai.com/docs/api-reference/responses/object. A response that failed has status 200; its `error` may
name the operator's account.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from broker.errors.base import Fault
from broker.errors.openai import OpenAINonsense
from broker.openai import replies
from broker.openai.counting import token_estimate
from broker.openai.counting.token_usage import with_tier

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WORD = re.compile(r"[a-z_]{1,64}")
_CHAT_NAMES = {
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
    "output_tokens_details": "completion_tokens_details",
}
# text written by the model, in an event or in a response
_WRITTEN = re.compile(rb'"(?:delta|text|arguments|refusal)": ?"((?:[^"\\]|\\.)*)"')
_LIMITS = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "requests", "tokens", "insufficient_quota", "slow_down"}
)
_ACCIDENTS = frozenset({"server_error", "model_error", "vector_store_timeout"})


@dataclass(frozen=True, slots=True)
class ResponseObject:
    """A whole response as received: its id, the ids in its output, and its usage as `usage_of` returns it."""

    id: str
    item_ids: tuple[str, ...]
    usage: dict[str, Any]
    body: bytes = field(repr=False)

    @property
    def estimated_tokens(self) -> int:
        """The estimated tokens of the output, for a server that sends no usage."""
        return token_estimate.output_tokens(written_bytes(self.body))


def read(body: bytes) -> ResponseObject:
    """Read the reply to `POST /responses`. Raises `OpenAINonsense`, and the fault of a failed response."""
    content = _object(body)
    if isinstance(error := content.get("error"), dict):
        raise fault_of(error)
    response_id = content.get("id")
    if not _is_id(response_id):
        raise OpenAINonsense
    return ResponseObject(response_id, tuple(output_ids(content.get("output"))), usage_of(content), body)


def written_bytes(data: bytes) -> int:
    """Return the size in bytes of the model's text in an event or a response, JSON escapes included."""
    return sum(len(match[1]) for match in _WRITTEN.finditer(data))


def usage_of(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the usage of a response in the names of chat completions, which log and metrics read; {} if none."""
    usage = response.get("usage")
    members: dict[str, Any] = usage if isinstance(usage, dict) else {}
    return with_tier({_CHAT_NAMES.get(name, name): value for name, value in members.items()}, response)


def output_ids(items: object) -> Iterator[str]:
    """Yield the ids that output items give to a client: their own, of containers, safety checks and cited files.

    Only these places count. Other members may hold text that a caller chose.
    """
    for item in _objects(items):
        checks = _objects(item.get("pending_safety_checks"))
        cited = [note for part in _objects(item.get("content")) for note in _objects(part.get("annotations"))]
        files = [one.get("file_id") for one in (*cited, *_objects(item.get("results")))]
        found = (item.get("id"), item.get("container_id"), *(check.get("id") for check in checks), *files)
        yield from (one for one in found if _is_id(one))


def listed_ids(body: bytes) -> list[str]:
    """Return the ids of a list of input items: https://platform.openai.com/docs/api-reference/responses/input-items."""
    return list(output_ids(_object(body).get("data")))


def without_account(body: bytes) -> bytes:
    """Return a stored response for its owner: as received, or with its failure's sentence masked."""
    content = _object(body)
    error = content.get("error")
    if not isinstance(error, dict):
        return body
    return json.dumps(content | {"error": public_error(error)}, ensure_ascii=False).encode()


def public_error(error: Mapping[str, Any]) -> dict[str, object]:
    """Return the `error` of a failed response without the operator's account: OpenAI's code, a public sentence."""
    fault = fault_of(error)
    return {"code": code_of(error, fault), "message": fault.sentence}


def code_of(error: Mapping[str, Any], fault: Fault) -> str:
    """Return OpenAI's own code if it is a plain word, else the fault's."""
    code = error.get("code")
    return code if isinstance(code, str) and _WORD.fullmatch(code) else fault.code


def fault_of(error: Mapping[str, Any]) -> Fault:
    """Return the fault of an error that OpenAI sent with status 200, in an event or in a response object.

    https://platform.openai.com/docs/api-reference/responses/object#responses-object-error lists the codes. Those
    that are neither limits nor accidents concern the caller's input.
    """
    words = {word for word in (error.get("code"), error.get("type")) if isinstance(word, str)}
    status = 429 if words & _LIMITS else 500 if words & _ACCIDENTS or not words else 400
    try:
        replies.read_reply(status, json.dumps({"error": dict(error)}).encode())
    except Fault as fault:
        return fault
    raise AssertionError  # `read_reply` returns for status 200 only


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise OpenAINonsense from None
    if not isinstance(content, dict):
        raise OpenAINonsense
    return content


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_ID.fullmatch(value))
