"""Checks the input items of a Responses request, and collects every id in them. Pure.

Items: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input. An item may refer to a
stored one (`item_reference`, whose `type` may be absent), repeat a stored one with its id, or name one in a member such
as `approval_request_id`. Ids are therefore collected from members by their name, at any depth, and not by item type.
"""

from collections.abc import Iterator
from typing import Any

from broker.errors.base import ParameterRefused

# items that any caller may send: text, images, and calls of the client's own functions
ITEMS = frozenset(
    {
        "message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
        "reasoning", "item_reference",
    }
)  # fmt: skip
# items of hosted tools, by the name in HOSTED_TOOLS
HOSTED_ITEMS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "computer_call": "computer_use",
    "computer_call_output": "computer_use",
    "image_generation_call": "image_generation",
    "mcp_list_tools": "mcp",
    "mcp_approval_request": "mcp",
    "mcp_approval_response": "mcp",
    "mcp_call": "mcp",
}
_NOT_STORED = frozenset({"call_id", "input_schema"})  # pairs a call with its output; a JSON schema
_FILE_IDS = frozenset({"file_id", "file_ids"})
CITING = frozenset({"annotations", "results"})  # members of an answer's items that name files, and open none


def check(items: list[Any], hosted_tools: frozenset[str]) -> Iterator[str]:
    """Yield every id of a stored object in `items`. Raises a `ParameterRefused` for the first bad item."""
    for number, item in enumerate(items):
        name = f"input[{number}]"
        if not isinstance(item, dict):
            raise ParameterRefused(name, "must be an object", "invalid_type")
        _check_type(name, item, hosted_tools)
        yield from _ids(name, item)


def _check_type(name: str, item: dict[str, Any], hosted_tools: frozenset[str]) -> None:
    kind = item.get("type")
    if kind is None and ("role" in item or "id" in item):  # a message or a reference; the type may be absent
        return
    if not isinstance(kind, str):
        raise ParameterRefused(f"{name}.type", "must be a text", "invalid_type")
    if kind in ITEMS:
        return
    if kind not in HOSTED_ITEMS:
        raise ParameterRefused(f"{name}.type", f"'{kind[:64]}' is not passed on by this broker", "unsupported_value")
    if HOSTED_ITEMS[kind] not in hosted_tools:
        sentence = f"'{kind}' belongs to the hosted tool '{HOSTED_ITEMS[kind]}', which is not offered here"
        raise ParameterRefused(f"{name}.type", sentence, "unsupported_value")


def _ids(name: str, value: Any, *, is_citing: bool = False) -> Iterator[str]:
    """Yield the ids in `value` at any depth. Raises a `ParameterRefused` for a file id that is no citation."""
    if isinstance(value, list):
        for child in value:
            yield from _ids(name, child, is_citing=is_citing)
    elif isinstance(value, dict):
        for member, child in value.items():
            if child is None or member in _NOT_STORED:
                continue
            if member in _FILE_IDS and not (is_citing and member == "file_id"):
                sentence = f"names a file of the operator's account ('{member}'); send the file inline ('file_data')"
                raise ParameterRefused(name, sentence, "unsupported_value")
            if member == "id" or member.endswith("_id"):
                yield child if isinstance(child, str) else repr(child)  # another type is an unknown id
            else:
                yield from _ids(name, child, is_citing=member in CITING)
