"""Reads a request in OpenAI's chat completions format. Pure.

https://platform.openai.com/docs/api-reference/chat/create. Only the listed parameters are passed on. None of them costs
more than one answer, stores data at OpenAI, reads stored data, or names a user. OpenAI itself checks the values of most
parameters, in words that its SDKs know.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from broker import strict_json
from broker.errors.base import BodyNotJson, ModelNotFound, ParameterRefused

PASSED_ON = frozenset(
    {
        "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "messages", "modalities", "model", "n", "parallel_tool_calls", "presence_penalty",
        "reasoning_effort", "response_format", "seed", "service_tier", "stop", "store", "stream", "stream_options",
        "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "verbosity",
    }
)  # fmt: skip
# parameters that are passed on with these values only: one answer, at the usual price, not stored
ALLOWED_VALUES: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
}
STREAM_OPTIONS = ("include_usage", "include_obfuscation")
PARTS = ("image_url", "refusal", "text")  # files and audio are named by ids of the operator's account


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request: the model by the clients' name, the body, and how the answer is sent."""

    model: str
    body: dict[str, Any] = field(repr=False)
    is_stream: bool
    wants_usage: bool


def read(content: bytes, models: Collection[str], most_tokens: int) -> ChatRequest:
    """Read a request's body. Null members are dropped.

    Raises `BodyNotJson`, `ModelNotFound`, or a `ParameterRefused` that names the parameter.
    """
    body = {name: value for name, value in _object(content).items() if value is not None}
    for name in body:
        if name not in PASSED_ON:
            raise ParameterRefused(name[:64], "is not a parameter that this broker passes on", "unsupported_parameter")
    for name, values in ALLOWED_VALUES.items():
        if name in body and not any(body[name] == value and type(body[name]) is type(value) for value in values):
            raise ParameterRefused(name, f"must be {_either(values)} with this broker", "unsupported_value")
    _check_messages(body)
    model = _checked(body, "model", str, "a text")
    if model not in models:
        raise ModelNotFound(f"The model '{model[:64]}' does not exist here; GET /v1/models lists those that do")
    _bound(body, most_tokens)
    is_stream = _checked(body, "stream", bool, "true or false", default=False)
    return ChatRequest(model, body, is_stream, _wants_usage(body))


def _object(content: bytes) -> dict[str, Any]:
    body = strict_json.read(content)
    if not isinstance(body, dict):
        raise BodyNotJson("The body of the request must be a JSON object")
    return body


def _check_messages(body: dict[str, Any]) -> None:
    messages = _checked(body, "messages", list, "an array of messages")
    if not messages:
        raise ParameterRefused("messages", "must not be empty", "empty_array")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ParameterRefused(f"messages[{number}]", "must be an object with a 'role'", "invalid_type")
        if message.get("audio") is not None:
            raise ParameterRefused(f"messages[{number}].audio", "is not passed on", "unsupported_parameter")
        if not _has_known_parts(message.get("content")):
            sentence = f"may be text, or parts of the types {', '.join(PARTS)}"
            raise ParameterRefused(f"messages[{number}].content", sentence, "unsupported_value")


def _has_known_parts(content: object) -> bool:
    if isinstance(content, list):
        return all(isinstance(part, dict) and part.get("type") in PARTS for part in content)
    return content is None or isinstance(content, str)


def _bound(body: dict[str, Any], most: int) -> None:
    """Bound the answer's length to `most` tokens, or to the lowest bound in the request.

    `max_tokens` is deprecated and newer models refuse it, so it is renamed to `max_completion_tokens`.
    """
    bounds = [_tokens(name, body.pop(name), most) for name in ("max_tokens", "max_completion_tokens") if name in body]
    if bounds:
        body["max_completion_tokens"] = min(bounds)


def _tokens(name: str, value: object, most: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON, 5.0 is the same number as 5
    if type(value) is not int:
        raise ParameterRefused(name, "must be a whole number", "invalid_type")
    if not 1 <= value <= most:
        raise ParameterRefused(name, f"must be from 1 to {most} with this broker", "invalid_value")
    return value


def _wants_usage(body: dict[str, Any]) -> bool:
    options = _checked(body, "stream_options", dict, "an object", default={})
    for name, value in options.items():
        if name not in STREAM_OPTIONS or type(value) is not bool:
            sentence = f"may be {' or '.join(STREAM_OPTIONS)}, true or false"
            raise ParameterRefused(f"stream_options.{name[:64]}", sentence, "invalid_value")
    return bool(options.get("include_usage"))


def _checked(body: dict[str, Any], name: str, kind: Callable[..., Any], words: str, default: object = None) -> Any:
    value = body.get(name, default)
    if value is None:
        raise ParameterRefused(name, "is required", "missing_required_parameter")
    if type(value) is not kind:  # isinstance would accept a bool as an int
        raise ParameterRefused(name, f"must be {words}", "invalid_type")
    return value


def _either(values: tuple[object, ...]) -> str:
    return " or ".join(json.dumps(value) for value in values)
