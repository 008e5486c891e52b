"""Reads the requests of the older endpoints. Pure.

The wire contract fixes the rules, their order and their sentences.
"""

from dataclasses import dataclass, field
from typing import Any

from broker import strict_json
from broker.errors.base import CallerFault
from broker.errors.request import (
    MessageIncomplete,
    MessagesInvalid,
    MessagesMissing,
    ModelUnknown,
    PromptMissing,
    TemperatureInvalid,
)
from broker.openai.requests import content_parts
from broker.settings.parsers import WIRE_MODELS

DEFAULT_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Prompt:
    """A model by the clients' name, its messages, and a temperature from 0 to 1."""

    model: str
    messages: list[dict[str, Any]] = field(repr=False)
    temperature: float = DEFAULT_TEMPERATURE

    def request(self) -> dict[str, Any]:
        """Return the prompt in OpenAI's format, for `RequestPolicy.apply`."""
        return {"model": self.model, "messages": self.messages, "temperature": self.temperature}


def read_query(prompt: str | None, model: str) -> Prompt:
    """Read a query string's prompt as one `system` message. Raises `PromptMissing`."""
    if not prompt:
        raise PromptMissing
    return Prompt(model, [{"role": "system", "content": prompt}])


def read_messages(body: bytes, model: str) -> Prompt:
    """Read `{"messages": …}` or the bare array; the temperature is the default."""
    content = _read_json(body)
    return Prompt(model, _messages(content if isinstance(content, list) else _member(content, "messages")))


def read_conversation(body: bytes, model: str) -> Prompt:
    """Read `{"messages": …, "temperature"?: 0..1}`."""
    content = _read_json(body)
    return Prompt(model, _messages(_member(content, "messages")), _temperature(content))


def read_stream(body: bytes) -> Prompt:
    """Read `{"messages": …, "model": …, "temperature"?: 0..1}`."""
    content = _read_json(body)
    messages, temperature = _messages(_member(content, "messages")), _temperature(content)
    model = _member(content, "model")
    if not isinstance(model, str) or model not in WIRE_MODELS:
        raise ModelUnknown
    return Prompt(model, messages, temperature)


def _read_json(body: bytes) -> Any:
    """Parse the body. NaN and Infinity are accepted, so that a bad temperature gets its own error."""
    if not body.strip():
        raise MessagesMissing
    return strict_json.read(body)


def _member(content: Any, name: str) -> Any:
    return content.get(name) if isinstance(content, dict) else None


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str) and value:
        value = _messages_in(value)
    if value in (None, "", []):
        raise MessagesMissing
    if not isinstance(value, list):
        raise MessagesInvalid
    if not all(isinstance(one, dict) and "role" in one and "content" in one for one in value):
        raise MessageIncomplete
    content_parts.check(value)
    return value


def _messages_in(text: str) -> list[Any]:
    """Parse a string that holds a JSON array; any other string is one `user` message."""
    try:
        value = strict_json.read(text.encode()) if text.lstrip().startswith("[") else None
    except CallerFault:
        value = None
    return value if isinstance(value, list) else [{"role": "user", "content": text}]


def _temperature(content: Any) -> float:
    value = content.get("temperature", DEFAULT_TEMPERATURE)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TemperatureInvalid
    return value
