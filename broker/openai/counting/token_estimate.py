"""Estimates of tokens where OpenAI has not counted them. Pure.

A tokenizer would cost 81 MB a worker and stall every stream during a long prompt. Text takes 3 to 6 UTF-8 bytes a
token in practice, and at least one: the number of bytes is an upper bound.
"""

import functools
import re
from typing import Any

BYTES_PER_TOKEN = 3
PER_MESSAGE = 4  # the tokens around a message: https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
NUMBER = 4  # bytes
Allowances = tuple[int, int, int]

# The largest image of low, high and any other `detail`, by model: https://platform.openai.com/docs/guides/images-vision
# Small models multiply 1,536 patches by 2.46 at most. Later ones multiply by 1.2, keep the size of an image unless it
# has low or high detail, and refuse one of more than 30,000 patches.
_IMAGES_OF = (
    (re.compile(r"gpt-4o-mini"), (2_833, 48_169, 48_169)),
    (re.compile(r"(gpt-4\.1|gpt-5(\.\d)?)-(mini|nano)|o4-mini"), (630, 3_779, 3_779)),
    (re.compile(r"gpt-5\.[45]"), (310, 3_000, 12_000)),
    (re.compile(r"gpt-(5\.[6-9]|[6-9]|\d\d)"), (310, 3_000, 36_000)),
    (re.compile(r""), (300, 2_500, 2_500)),
)
_UNBILLED = frozenset(
    {
        "max_completion_tokens", "max_output_tokens", "model", "safety_identifier", "service_tier", "store", "stream",
        "stream_options", "temperature", "top_p",
    }
)  # fmt: skip
_IMAGES = ("image_url", "input_image")
_IMAGE_MEMBERS = frozenset({"detail", "image_url", "type"})  # what an image's allowance covers
_WITH_IMAGES = ("messages", "input")  # elsewhere an object with such a type is text, as in the schema of a tool


def input_tokens(body: dict[str, Any]) -> int:
    """Return the estimated input tokens of a request's body, in either API's format."""
    size = tokens = 0
    allowances = _allowances_of(str(body.get("model")))
    for name, member in body.items():
        if name not in _UNBILLED:
            more_size, more_tokens = _measured(member, allowances if name in _WITH_IMAGES else None)
            size, tokens = size + more_size, tokens + more_tokens
    return tokens + -(-size // BYTES_PER_TOKEN)


def output_tokens(size: int, events: int = 0) -> int:
    """Return the estimated tokens of a part of an answer. `size`: UTF-8 bytes of text; `events`: stream events.

    Each event brings at least one token, and a token seldom has less than three bytes.
    """
    return max(events, -(-size // BYTES_PER_TOKEN))


def text_size(text: str) -> int:
    """Return the UTF-8 bytes of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@functools.lru_cache(maxsize=64)
def _allowances_of(model: str) -> Allowances:
    return next(allowances for pattern, allowances in _IMAGES_OF if pattern.match(model))


def _measured(member: Any, allowances: Allowances | None) -> tuple[int, int]:
    """Return the bytes of text in a member, and the tokens of its images and around its messages.

    `allowances`: of an image; None where an object in the form of an image is text.
    """
    size = tokens = 0
    rest = [member]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            size += text_size(value)
        elif isinstance(value, list):
            rest.extend(value)
        elif not isinstance(value, dict):
            size += NUMBER
        elif allowances and value.get("type") in _IMAGES:
            tokens += _allowance(value, allowances)
            rest.extend(child for name, child in value.items() if name not in _IMAGE_MEMBERS)
        else:
            tokens += PER_MESSAGE if "role" in value else 0
            size += sum(map(text_size, value))
            rest.extend(value.values())
    return size, tokens


def _allowance(part: dict[str, Any], allowances: Allowances) -> int:
    image = part.get("image_url")  # an object in chat completions, a URL in responses
    detail = image.get("detail") if isinstance(image, dict) else part.get("detail")
    low, high, other = allowances
    return low if detail == "low" else high if detail == "high" else other
