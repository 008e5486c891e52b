"""Reads a request in the format of OpenAI's Responses API. Pure.

https://platform.openai.com/docs/api-reference/responses/create. Only the listed parameters are passed on. None of them
names a stored object of the operator's account, except by ids that `references` collects: the caller must own them.
OpenAI itself checks the values of most parameters, in words that its SDKs know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker import strict_json
from broker.errors.base import BodyNotJson, ModelNotFound, ParameterRefused
from broker.errors.responses import StoreRefused
from broker.openai.requests import answer_bound
from broker.openai.requests.responses_api import response_items, response_tools

PASSED_ON = frozenset(
    {
        "background", "include", "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model",
        "parallel_tool_calls", "previous_response_id", "prompt_cache_key", "reasoning", "service_tier", "store",
        "stream", "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p",
        "truncation",
    }
)  # fmt: skip
# replaced by the broker's own pseudonym of the user
IGNORED = frozenset({"safety_identifier", "user"})
# refused with a sentence of their own
REFUSED = {
    "conversation": "is not offered here; continue a response with 'previous_response_id'",
    "prompt": "templates are stored in the operator's account and not offered here; send 'instructions' and 'input'",
}
SERVICE_TIERS = ("auto", "default", "flex")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows: merge patches by the clients' names, the longest answer, `store`, and hosted tools."""

    models: Mapping[str, Mapping[str, object]]
    most_tokens: int
    is_store_allowed: bool
    hosted_tools: frozenset[str]


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """A checked request.

    `model` is the clients' name. `previous_id` and `references` are ids of stored objects; the caller must own them.
    """

    model: str
    body: dict[str, Any] = field(repr=False)
    is_stream: bool
    previous_id: str | None
    references: tuple[str, ...]


def read(content: bytes, rules: Rules) -> ResponseRequest:
    """Read a request's body. Null members are dropped.

    Raises `BodyNotJson`, `ModelNotFound`, `StoreRefused`, or a `ParameterRefused` that names the parameter.
    """
    body = _members(content)
    model = _checked(body, "model", str, "a text")
    if model not in rules.models:
        raise ModelNotFound(f"The model '{model[:64]}' does not exist here; there are {', '.join(rules.models)}")
    _check_options(body)
    if not rules.is_store_allowed and body.get("store") is not False:
        raise StoreRefused
    most = rules.most_tokens
    _bound(body, most, answer_bound.most_accepted(rules.models[model], most))
    references = [*response_items.check(_input(body), rules.hosted_tools)]
    references += response_tools.check(_checked(body, "tools", list, "an array", default=[]), rules.hosted_tools)
    previous = _checked(body, "previous_response_id", str, "a text") if "previous_response_id" in body else None
    is_stream = _checked(body, "stream", bool, "true or false", default=False)
    return ResponseRequest(model, body, is_stream, previous, tuple(dict.fromkeys(references)))


def _members(content: bytes) -> dict[str, Any]:
    body = strict_json.read(content)
    if not isinstance(body, dict):
        raise BodyNotJson("The body of the request must be a JSON object")
    body = {name: value for name, value in body.items() if value is not None and name not in IGNORED}
    for name in body:
        if name not in PASSED_ON:
            reason = REFUSED.get(name, "is not a parameter that this broker passes on")
            raise ParameterRefused(name[:64], reason, "unsupported_parameter")
    return body


def _check_options(body: dict[str, Any]) -> None:
    if body.pop("background", False) is not False:
        raise ParameterRefused("background", "must be false with this broker", "unsupported_value")
    if body.get("service_tier", "auto") not in SERVICE_TIERS:
        raise ParameterRefused("service_tier", f"must be {' or '.join(SERVICE_TIERS)} here", "unsupported_value")
    _checked(body, "store", bool, "true or false", default=True)
    options = _checked(body, "stream_options", dict, "an object", default={})
    obfuscation = options.get("include_obfuscation")
    if set(options) - {"include_obfuscation"} or not isinstance(obfuscation, bool | None):
        raise ParameterRefused("stream_options", "may hold 'include_obfuscation': true or false", "invalid_value")


def _bound(body: dict[str, Any], most: int, accepted: int) -> None:
    """Lower the answer's bound to `most` tokens. Refuse one over `accepted`. OpenAI itself checks the minimum."""
    if "max_output_tokens" in body:
        value = answer_bound.tokens("max_output_tokens", body["max_output_tokens"], accepted)
        body["max_output_tokens"] = min(most, value)


def _input(body: dict[str, Any]) -> list[Any]:
    """Return the input items; plain text has none."""
    value = body.get("input")
    if value is None:
        raise ParameterRefused("input", "is required", "missing_required_parameter")
    if isinstance(value, str):
        return []
    if not isinstance(value, list):
        raise ParameterRefused("input", "must be a text or an array of items", "invalid_type")
    return value


def _checked(body: dict[str, Any], name: str, kind: Callable[..., Any], words: str, default: object = None) -> Any:
    value = body.get(name, default)
    if value is None:
        raise ParameterRefused(name, "is required", "missing_required_parameter")
    if type(value) is not kind:  # a bool is no number
        raise ParameterRefused(name, f"must be {words}", "invalid_type")
    return value
