"""Checks the content parts of chat messages. Pure.

A part may carry its data inline. A part that names a file or an audio by id is refused: the id would be one of the
operator's account. https://platform.openai.com/docs/api-reference/chat/create#chat_create-messages.
"""

from typing import Any

from broker.errors.base import ParameterRefused

PARTS = ("file", "image_url", "refusal", "text")
_INLINE_FILE = frozenset({"filename", "file_data"})


def check(messages: list[Any]) -> None:
    """Raise a `ParameterRefused` for the first message with a part that is not passed on."""
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        if message.get("audio") is not None:
            raise ParameterRefused(f"messages[{number}].audio", "is not passed on", "unsupported_parameter")
        content = message.get("content")
        for part in content if isinstance(content, list) else [content] if isinstance(content, dict) else []:
            if reason := _reason_to_refuse(part):
                raise ParameterRefused(f"messages[{number}].content", reason, "unsupported_value")


def _reason_to_refuse(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in PARTS:
        given = f"a part of the type '{kind[:32]}'" if isinstance(kind, str) else "a part without a type"
        return f"has {given}, which is not passed on; it may be text, or parts of the types {', '.join(PARTS)}"
    if kind == "file" and not _is_inline(part.get("file")):
        return "has a part of the type 'file' without inline data; it may have 'file_data' and 'filename', no 'file_id'"
    return None


def _is_inline(file: Any) -> bool:
    if not isinstance(file, dict) or not isinstance(file.get("file_data"), str):
        return False
    return all(name in _INLINE_FILE for name, value in file.items() if value is not None)
