"""Translates a chat completions merge patch into the Responses API's spelling. Pure.

One MODELS line serves both APIs. Migration guide: https://platform.openai.com/docs/guides/migrate-to-responses.
"""

from collections.abc import Mapping
from typing import Any

Patch = dict[str, Any]
_NESTED = {"reasoning_effort": ("reasoning", "effort"), "verbosity": ("text", "verbosity")}
_RENAMED = {"max_completion_tokens": "max_output_tokens", "max_tokens": "max_output_tokens"}
# parameters that only chat completions have
_CHAT_ONLY = frozenset(
    {"frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "modalities", "n", "prediction",
     "presence_penalty", "seed", "stop"}
)  # fmt: skip


def translate(patch: Mapping[str, object]) -> Patch:
    """Return the merge patch (RFC 7396) for a Responses request; null still removes a field.

    Parameters that the Responses API does not have are left out. A patch may name a field in Responses' own spelling
    (`reasoning`, `text`, `max_output_tokens`) as well; it is kept.
    """
    translated: Patch = {}
    for name, value in patch.items():
        if name in _CHAT_ONLY:
            continue
        if name in _NESTED:
            outer, inner = _NESTED[name]
            _nest(translated, outer, {inner: value})
        elif name == "response_format":
            _nest(translated, "text", {"format": _text_format(value)})
        elif name in ("reasoning", "text") and isinstance(value, Mapping):
            _nest(translated, name, value)
        else:
            translated[_RENAMED.get(name, name)] = value
    return translated


def _nest(patch: Patch, name: str, members: Mapping[str, object]) -> None:
    outer = patch.get(name)
    patch[name] = {**(outer if isinstance(outer, dict) else {}), **members}


def _text_format(response_format: object) -> object:
    """Return `text.format`, in which the members of `json_schema` stand beside `type`."""
    if isinstance(response_format, Mapping) and isinstance(schema := response_format.get("json_schema"), Mapping):
        return {"type": "json_schema", **schema}
    return response_format
