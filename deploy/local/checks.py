"""Parameter checks of OpenAI: https://platform.openai.com/docs/api-reference/chat/create."""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def _number(least: float, most: float) -> Check:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _whole(least: int, most: int) -> Check:
    """In JSON, 5.0 is the same number as 5."""
    return lambda value: type(value) in (int, float) and value == int(value) and least <= value <= most


def _of(*kinds: type) -> Check:
    return lambda value: type(value) in kinds


def _list_of(kind: type, most: int = 128) -> Check:
    return lambda value: type(value) is list and len(value) <= most and all(type(one) is kind for one in value)


CHECKS: dict[str, Check] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "top_logprobs": _whole(0, 20),
    "seed": _whole(-(2**63), 2**63),
    "logprobs": _of(bool),
    "parallel_tool_calls": _of(bool),
    "logit_bias": _of(dict),
    "response_format": _of(dict),
    "reasoning_effort": _of(str),
    "verbosity": _of(str),
    "prediction": _of(dict),
    "prompt_cache_key": _of(str),
    "tools": _list_of(dict),
    "functions": _list_of(dict),
    "tool_choice": _of(str, dict),
    "function_call": _of(str, dict),
    "stop": lambda value: type(value) is str or _list_of(str, 4)(value),
}


RESPONSE_CHECKS: dict[str, Check] = {
    **{
        name: CHECKS[name]
        for name in ("temperature", "top_p", "top_logprobs", "parallel_tool_calls", "prompt_cache_key")
    },
    **{name: _of(str) for name in ("instructions", "truncation", "previous_response_id")},
    **{name: _of(dict) for name in ("metadata", "reasoning", "text", "stream_options")},
    "include": _list_of(str),
    "max_tool_calls": _whole(-(2**63), 2**63),
    "tools": _list_of(dict),
    "tool_choice": _of(str, dict),
}


def wrong_parameter(body: Mapping[str, Any]) -> str | None:
    """The name of the first invalid parameter; None if all are valid."""
    options = body.get("stream_options") or {}
    if not all(type(value) is bool for value in options.values()):
        return "stream_options"
    return _first_wrong(body, CHECKS)


def wrong_response_parameter(body: Mapping[str, Any]) -> str | None:
    """The first invalid parameter of a Responses request; None if all are valid."""
    return _first_wrong(body, RESPONSE_CHECKS)


def _first_wrong(body: Mapping[str, Any], checks: Mapping[str, Check]) -> str | None:
    return next((name for name, check in checks.items() if name in body and not check(body[name])), None)
