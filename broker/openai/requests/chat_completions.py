"""Reads a request in OpenAI's chat completions format. Pure.

https://platform.openai.com/docs/api-reference/chat/create. Only the listed parameters are passed on. None of them costs
more than one answer, stores data at OpenAI, reads stored data, or names a user. OpenAI itself checks the values of most
parameters, in words that its SDKs know.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker import strict_json
from broker.errors.base import BodyNotJson, ModelNotFound, ParameterRefused
from broker.openai.requests import answer_bound, content_parts

Models = Mapping[str, Mapping[str, object]]  # a merge patch for each name that clients use

PASSED_ON = frozenset(
    {
        "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "messages", "modalities", "model", "n", "parallel_tool_calls", "presence_penalty",
        "prediction", "prompt_cache_key", "reasoning_effort", "response_format", "seed", "service_tier", "stop",
        "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
        "verbosity",
    }
)  # fmt: skip
# parameters that are passed on with these values only: one answer, at the usual price, not stored
ALLOWED_VALUES: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "store": (False,),
    "service_tier": ("auto", "default", "flex"),
    "modalities": (["text"],),
}
STREAM_OPTIONS = ("include_usage", "include_obfuscation")
# replaced by the broker's own pseudonym of the user; and of no use to an answer that is not stored
IGNORED = frozenset({"metadata", "safety_identifier", "user"})


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request: the model by the clients' name, the body, and how the answer is sent."""

    model: str
    body: dict[str, Any] = field(repr=False)
    is_stream: bool
    wants_usage: bool


def read(content: bytes, models: Models, most_tokens: int) -> ChatRequest:
    """Read a request's body. Null members are dropped.

    Raises `BodyNotJson`, `ModelNotFound`, or a `ParameterRefused` that names the parameter.
    """
    body = _without_null(_object(content), IGNORED)
    for name in body:
        if name not in PASSED_ON:
            raise ParameterRefused(name[:64], "is not a parameter that this broker passes on", "unsupported_parameter")
    for name, values in ALLOWED_VALUES.items():
        if name in body and not any(body[name] == value and type(body[name]) is type(value) for value in values):
            raise ParameterRefused(name, f"must be {_either(values)} with this broker", "unsupported_value")
    _check_messages(body)
    model = _checked(body, "model", str, "a text")
    if model not in models:
        raise ModelNotFound(f"The model '{model[:64]}' does not exist here; there are {', '.join(models)}")
    _bound(body, most_tokens, answer_bound.most_accepted(models[model], most_tokens))
    is_stream = _checked(body, "stream", bool, "true or false", default=False)
    return ChatRequest(model, body, is_stream, _wants_usage(body))


def _without_null(members: Mapping[str, Any], ignored: Collection[str] = ()) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None and name not in ignored}


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
        if not isinstance(message.get("content"), str | list | None):
            raise ParameterRefused(f"messages[{number}].content", "must be text or an array of parts", "invalid_type")
    content_parts.check(messages)
    body["messages"] = [_message(message) for message in messages]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """Drop null members, but not a null content: a message that calls tools has one."""
    return {name: value for name, value in message.items() if value is not None or name == "content"}


def _bound(body: dict[str, Any], most: int, accepted: int) -> None:
    """Bound the answer's length to `most` tokens, or to the lowest bound in the request, up to `accepted`.

    `max_tokens` is deprecated and newer models refuse it, so it is renamed to `max_completion_tokens`.
    """
    names = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
    bounds = [answer_bound.tokens(name, body.pop(name), accepted) for name in names]
    if bounds:
        body["max_completion_tokens"] = min(most, *bounds)


def _wants_usage(body: dict[str, Any]) -> bool:
    options = _without_null(_checked(body, "stream_options", dict, "an object", default={}))
    if "stream_options" in body:
        body["stream_options"] = options
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
