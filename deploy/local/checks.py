"""Parameter checks of OpenAI: https://platform.openai.com/docs/api-reference/chat/create."""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def _number(least: float, most: float) -> Check:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


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
    "seed": _of(int),
    "logprobs": _of(bool),
    "parallel_tool_calls": _of(bool),
    "logit_bias": _of(dict),
    "response_format": _of(dict),
    "reasoning_effort": _of(str),
    "verbosity": _of(str),
    "tools": _list_of(dict),
    "functions": _list_of(dict),
    "tool_choice": _of(str, dict),
    "function_call": _of(str, dict),
    "stop": lambda value: type(value) is str or _list_of(str, 4)(value),
}


def wrong_parameter(body: Mapping[str, Any]) -> str | None:
    """The name of the first invalid parameter; None if all are valid."""
    options = body.get("stream_options") or {}
    if not all(type(value) is bool for value in options.values()):
        return "stream_options"
    return next((name for name, check in CHECKS.items() if name in body and not check(body[name])), None)
