"""Bounds an answer's length, which the operator pays for. Pure. Serves both APIs."""

import re
import sys
from collections.abc import Mapping

from broker.errors.base import ParameterRefused

_REASONING_MODEL = re.compile(r"o\d|gpt-(?:[5-9]|\d\d)")


def most_accepted(patch: Mapping[str, object], most: int) -> int:
    """Return the highest bound that a request may name for the model with this merge patch.

    It is `most`. A model that reasons has none: SDKs send such models bounds far above any answer, and those are
    lowered to `most` instead of refused.
    """
    return sys.maxsize if _reasons(patch) else most


def tokens(name: str, value: object, most: int) -> int:
    """Return the bound `value` of the parameter `name`. Raises a `ParameterRefused` unless it is from 1 to `most`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # in JSON, 5.0 is the same number as 5
    if type(value) is not int:
        raise ParameterRefused(name, "must be a whole number", "invalid_type")
    if not 1 <= value <= most:
        raise ParameterRefused(name, f"must be from 1 to {most} with this broker", "invalid_value")
    return value


def _reasons(patch: Mapping[str, object]) -> bool:
    reasoning = "reasoning_effort" in patch or "reasoning" in patch
    return reasoning or bool(_REASONING_MODEL.match(str(patch["model"])))
