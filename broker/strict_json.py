"""Parses JSON from clients (RFC 8259, in UTF-8) and refuses ambiguous documents. Pure.

Duplicate names in an object and unpaired surrogates are refused (RFC 7493, 2.1 and 2.3), because parsers disagree on
them. The number of values and their depth are checked before parsing: a few megabytes of `[[],[],…` take seconds to
parse. A long text, such as an image, is one value.
"""

import codecs
import json
import math
import re
from typing import Any

from broker.errors.base import BodyNotJson
from broker.errors.request import JsonRefused

MAX_VALUES = 50_000  # in one body; a long conversation has hundreds
MAX_SIGNS = 1_000_000  # that may begin a value, also inside texts: more than any model's context holds
MAX_ESCAPES = 2_000_000  # backslashes; an escaped emoji has two
MAX_DEPTH = 64
MAX_DIGITS = 500  # of a whole number; a longer one takes long to parse, and is infinite in JavaScript
_SPACE = b" \t\n\r"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read(body: bytes) -> Any:
    """Return the value. NaN and Infinity are accepted. Raises `BodyNotJson`, or `JsonRefused` with the reason."""
    body = _trimmed(body.removeprefix(codecs.BOM_UTF8))
    signs = _count(body, b',[{"\\')
    if signs > MAX_VALUES:
        _check_number_of_values(body)
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        raise BodyNotJson from None
    if signs > MAX_DEPTH:
        _check_depth(value)
    if b"\\" in body and _SURROGATE.search(body):
        _check_pairs(value)
    return value


def _trimmed(body: bytes) -> bytes:
    """Strip surrounding white space, which the decoder would skip byte by byte."""
    start = len(body) - len(body.lstrip())
    value = body.strip()
    if (body[:start] + body[start + len(value) :]).translate(None, _SPACE):
        raise BodyNotJson  # white space that JSON does not allow
    return value


def _count(text: bytes, signs: bytes) -> int:
    return len(text) - len(text.translate(None, signs))


def _check_number_of_values(body: bytes) -> None:
    """The first two bounds are there because an exact count would take too long."""
    if body.count(b"\\") > MAX_ESCAPES:
        raise JsonRefused(
            f"The JSON in the body may have {MAX_ESCAPES} escaped characters at most; send UTF-8 unescaped"
        )
    if _count(body, b',[{"') > MAX_SIGNS:
        raise JsonRefused(f"The JSON in the body may have {MAX_SIGNS} commas, brackets and quotation marks at most")
    if _values(body) > MAX_VALUES:
        raise JsonRefused(f"The JSON in the body may have {MAX_VALUES} values at most")


def _values(body: bytes) -> int:
    """Return an upper bound of the number of values, from the signs between texts and the number of texts."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    texts = plain.count(b'"') // 2
    if texts > 2 * MAX_VALUES:  # a member of an object has two: name and value
        return texts
    return _count(b"".join(plain.split(b'"')[::2]), b",[{")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefused("In the JSON in the body, a name stands twice in one object")
    return members


def whole(digits: str) -> int | float:
    """Parse a number without a fraction; an overlong one becomes infinite."""
    if len(digits) <= MAX_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _check_pairs(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JsonRefused("In the JSON in the body, a text has half a character: an unpaired surrogate") from None


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one) if isinstance(child, dict | list)]
        if not level:
            return
    raise JsonRefused(f"The JSON in the body may be {MAX_DEPTH} levels deep at most")


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_int=whole)
