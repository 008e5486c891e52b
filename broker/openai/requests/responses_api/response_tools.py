"""Checks the tools of a Responses request. Pure.

Functions and custom tools run at the client. Hosted tools run at OpenAI, cost extra or read the operator's account, and
are refused unless HOSTED_TOOLS lists them. https://platform.openai.com/docs/guides/tools.
"""

from collections.abc import Iterator
from typing import Any

from broker.errors.base import ParameterRefused
from broker.settings.hosted_tools import HOSTED_TOOLS

CLIENT_TOOLS = frozenset({"function", "custom"})
# the beginnings of the types by which OpenAI knows the tools of the HOSTED_TOOLS setting; dated types exist
HOSTED_TYPES = {name: (name,) for name in HOSTED_TOOLS} | {"computer_use": ("computer_use", "computer")}


def check(tools: list[Any], hosted_tools: frozenset[str]) -> Iterator[str]:
    """Yield every id of a stored object in `tools`. Raises a `ParameterRefused` for the first bad tool."""
    for number, tool in enumerate(tools):
        name, kind = f"tools[{number}]", tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise ParameterRefused(f"{name}.type", "must be a text", "invalid_type")
        if kind in CLIENT_TOOLS:
            continue
        _check_hosted(name, kind, hosted_tools)
        yield from _container(name, tool)


def _check_hosted(name: str, kind: str, hosted_tools: frozenset[str]) -> None:
    hosted = next((tool for tool, types in HOSTED_TYPES.items() if kind.startswith(types)), None)
    if hosted is None:
        raise ParameterRefused(f"{name}.type", f"'{kind[:64]}' is not passed on by this broker", "unsupported_value")
    if hosted not in hosted_tools:
        sentence = f"'{kind[:64]}' is a hosted tool, which is not offered here; functions are"
        raise ParameterRefused(f"{name}.type", sentence, "unsupported_value")


def _container(name: str, tool: dict[str, Any]) -> Iterator[str]:
    """Yield the id of a code interpreter's container. Raises a `ParameterRefused` for files of the account."""
    container = tool.get("container")
    if isinstance(container, str):
        yield container
    holders = [tool, container, tool.get("input_image_mask")]
    if any(isinstance(holder, dict) and (holder.get("file_ids") or holder.get("file_id")) for holder in holders):
        raise ParameterRefused(name, "names files of the operator's account, which is not offered", "unsupported_value")
