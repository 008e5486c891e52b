"""Encodes the body of a request to OpenAI. Pure."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from broker.errors.base import BodyNotJson

LONG = 65_536  # characters from which a text is searched for signs to escape before it is encoded
_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))  # `dumps` would build it anew
_ESCAPED = ('"', "\\", *map(chr, range(32)))  # RFC 8259, 7


def encode(body: Mapping[str, object]) -> bytes:
    """Return the body as JSON in UTF-8, unescaped: an escaped emoji takes three times as many bytes.

    A long text without signs to escape, such as an image, is copied: the encoder takes three to five times as long.

    Raises `BodyNotJson` for NaN, Infinity or half a surrogate pair in the caller's input.
    """
    copied = [text for text in _long_texts(body) if text.isascii() and not any(sign in text for sign in _ESCAPED)]
    marks = {id(text): secrets.token_hex(16) for text in copied}  # which no client can guess
    try:
        marked = _with_marks(body, marks) if marks else body
        encoded = _ENCODER.encode(marked).encode()
    except (ValueError, RecursionError):
        raise BodyNotJson from None
    for text in copied:
        encoded = encoded.replace(marks[id(text)].encode(), text.encode())
    return encoded


def _long_texts(body: object) -> list[str]:
    found, rest = [], [body]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            if len(value) >= LONG:
                found.append(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return found


def _with_marks(value: Any, marks: Mapping[int, str]) -> Any:
    """Return `value` with marks in place of the texts with these ids."""
    if isinstance(value, str):
        return marks.get(id(value), value)
    if isinstance(value, dict):
        return {name: _with_marks(member, marks) for name, member in value.items()}
    if isinstance(value, list):
        return [_with_marks(member, marks) for member in value]
    return value
