"""What a client asks, read from a request's body. Pure.

The rules, their order and their sentences are the wire contract's; each is written once, here.
"""

from dataclasses import dataclass, field
from typing import Any

from broker import strict_json
from broker.errors.base import (
    CallerFault,
    MessageIncomplete,
    MessagesInvalid,
    MessagesMissing,
    ModelUnknown,
    PromptMissing,
    TemperatureInvalid,
)
from broker.settings.parsers import WIRE_MODELS

DEFAULT_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Prompt:
    """A model by the name that clients use, the messages for it, and a temperature from 0 to 1."""

    model: str
    messages: list[dict[str, Any]] = field(repr=False)
    temperature: float = DEFAULT_TEMPERATURE

    def request(self) -> dict[str, Any]:
        """The same in OpenAI's format, for `Terms.patched`."""
        return {"model": self.model, "messages": self.messages, "temperature": self.temperature}


def read_query(prompt: str | None, model: str) -> Prompt:
    """A prompt from the query string, sent as one `system` message. Raises `PromptMissing`."""
    if not prompt:
        raise PromptMissing
    return Prompt(model, [{"role": "system", "content": prompt}])


def read_messages(body: bytes, model: str) -> Prompt:
    """`{"messages": …}` or the bare array, at the default temperature."""
    content = _read_json(body)
    return Prompt(model, _messages(content if isinstance(content, list) else _member(content, "messages")))


def read_conversation(body: bytes, model: str) -> Prompt:
    """`{"messages": …, "temperature"?: 0..1}`."""
    content = _read_json(body)
    return Prompt(model, _messages(_member(content, "messages")), _temperature(content))


def read_stream(body: bytes) -> Prompt:
    """`{"messages": …, "model": …, "temperature"?: 0..1}`."""
    content = _read_json(body)
    messages, temperature = _messages(_member(content, "messages")), _temperature(content)
    model = _member(content, "model")
    if not isinstance(model, str) or model not in WIRE_MODELS:
        raise ModelUnknown
    return Prompt(model, messages, temperature)


def _read_json(body: bytes) -> Any:
    """The body's JSON. NaN and Infinity, which JSON has not, are read: a temperature gets its own sentence."""
    if not body.strip():
        raise MessagesMissing
    return strict_json.read(body)


def _member(content: Any, name: str) -> Any:
    return content.get(name) if isinstance(content, dict) else None


def _messages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, str) and value:
        value = _spelled_out(value)
    if value in (None, "", []):
        raise MessagesMissing
    if not isinstance(value, list):
        raise MessagesInvalid
    if not all(isinstance(one, dict) and "role" in one and "content" in one for one in value):
        raise MessageIncomplete
    return value


def _spelled_out(text: str) -> list[Any]:
    """A string that holds a JSON array is that array; any other is one `user` message."""
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
