"""Encodes the body of a request to OpenAI. Pure."""

import json
from collections.abc import Mapping

from broker.errors.base import BodyNotJson


def encode(body: Mapping[str, object]) -> bytes:
    """Return the body as JSON in UTF-8, unescaped: an escaped emoji takes three times as many bytes.

    Raises `BodyNotJson` for NaN, Infinity or half a surrogate pair in the caller's input.
    """
    try:
        return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BodyNotJson from None
