"""Counts the characters of a request that OpenAI bills as its prompt. Pure. Serves both APIs."""

import json
from collections.abc import Mapping
from typing import Any

# counted by their JSON: OpenAI puts tools and schemas, names and numbers included, into the prompt
_AS_JSON = ("tools", "functions", "response_format", "text", "tool_choice", "function_call", "stop", "prediction")
_AS_TEXT = ("messages", "input", "instructions")
_STRUCTURE = ("role", "type")  # words of the format
_LONGEST_WORD = 32  # a longer value of those is no word of the format


def count(body: Mapping[str, Any]) -> int:
    """Return the number of characters. Images do not count: OpenAI bills them by their size in pixels."""
    size = sum(_text_size(body[name]) for name in _AS_TEXT if name in body)
    return size + sum(_json_size(body[name]) for name in _AS_JSON if name in body)


def _text_size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_text_size, value))
    if isinstance(value, dict):
        return sum(_text_size(child) for name, child in value.items() if not _is_free(name, child))
    return 0 if value is None or isinstance(value, bool) else len(repr(value))


def _is_free(name: str, value: Any) -> bool:
    is_word = name in _STRUCTURE and isinstance(value, str) and len(value) <= _LONGEST_WORD
    return is_word or name == "image_url"


def _json_size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) if value is not None else 0
