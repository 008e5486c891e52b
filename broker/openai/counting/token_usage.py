"""Token counts of one answer, read from the `usage` object of either API.

Chat Completions: https://platform.openai.com/docs/api-reference/chat/object (`prompt_tokens`, `completion_tokens`).
Responses: https://platform.openai.com/docs/api-reference/responses/object (`input_tokens`, `output_tokens`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

MAX_TOKENS = 10**9  # of one answer; a larger count is malformed


class TokenUsage(NamedTuple):
    """Tokens that OpenAI counted.

    `cached` (read from OpenAI's prompt cache) and `cache_write` (written to it) are part of `input`;
    `reasoning` is part of `output`.
    """

    input: int
    cached: int
    cache_write: int
    output: int
    reasoning: int

    @property
    def total(self) -> int:
        """Tokens that count towards a token limit."""
        return self.input + self.output

    @classmethod
    def read(cls, usage: object) -> Self | None:
        """The counts in a `usage` object.

        None if it is missing or malformed, or if all counts are zero: OpenAI sends zeros after an error event,
        and every real answer has tokens.
        """
        if not isinstance(usage, dict):
            return None
        total_in, details_in = _side(usage, "prompt_tokens", "input_tokens")
        total_out, details_out = _side(usage, "completion_tokens", "output_tokens")
        if total_in is None or total_out is None or total_in + total_out == 0:
            return None
        cached = min(_detail(details_in, "cached_tokens"), total_in)
        written = min(_detail(details_in, "cache_write_tokens"), total_in - cached)
        return cls(total_in, cached, written, total_out, min(_detail(details_out, "reasoning_tokens"), total_out))


def with_tier(usage: dict[str, Any], answer: Mapping[str, object]) -> dict[str, Any]:
    """Return the `usage` object of an answer with the answer's own `service_tier`, if it names one.

    It decides the price, and may differ from the request's: https://platform.openai.com/docs/api-reference/chat/object.
    """
    tier = answer.get("service_tier")
    return {**usage, "service_tier": tier} if usage and isinstance(tier, str) else usage


def _side(usage: dict[str, object], of_chat: str, of_responses: str) -> tuple[int | None, object]:
    """One side's count and its details, by the name that the object has."""
    name = of_chat if of_chat in usage else of_responses
    return _count(usage.get(name)), usage.get(name + "_details")


def _detail(details: object, name: str) -> int:
    """A part of a count. A malformed part is zero: the whole is then charged at the full price."""
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < MAX_TOKENS else None
