"""How much a caller may ask of OpenAI in one request. Pure."""

from collections.abc import Iterator
from typing import Any

from broker.errors.limits import PromptTooLong, TooManyMessages
from broker.settings.settings import Settings


def check(body: dict[str, Any], settings: Settings) -> None:
    """Raises `TooManyMessages` or `PromptTooLong` where the request's messages are more than the operator allows."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return
    if len(messages) > settings.max_messages:
        raise TooManyMessages(details={"limit": settings.max_messages})
    if sum(len(text) for message in messages for text in _texts(message)) > settings.max_prompt_characters:
        raise PromptTooLong(details={"limit": settings.max_prompt_characters})


def _texts(message: Any) -> Iterator[str]:
    """The text of a message: its content, or the text of each of its parts; an image's address is none."""
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else [content]
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text
