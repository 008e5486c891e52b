"""Estimates of tokens where OpenAI has not counted them. Pure.

A tokenizer would cost 81 MB a worker and stall every stream during a long prompt. Text takes 3 to 6 UTF-8 bytes a
token in practice, and at least one: the number of bytes is an upper bound.
"""

from typing import Any

BYTES_PER_TOKEN = 3
PER_MESSAGE = 4  # the tokens around a message: https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
NUMBER = 4  # bytes
# The largest image of low and of any other `detail`: https://platform.openai.com/docs/guides/images-vision
IMAGE, IMAGE_OF_GPT_4O_MINI = (300, 2_500), (2_833, 48_169)
_UNBILLED = frozenset(
    {
        "max_completion_tokens", "max_output_tokens", "model", "safety_identifier", "service_tier", "store", "stream",
        "stream_options", "temperature", "top_p",
    }
)  # fmt: skip
_IMAGES = ("image_url", "input_image")
_WITH_IMAGES = ("messages", "input")  # elsewhere an object with such a type is text, as in the schema of a tool


def input_tokens(body: dict[str, Any]) -> int:
    """Return the estimated input tokens of a request's body, in either API's format."""
    low, high = IMAGE_OF_GPT_4O_MINI if str(body.get("model")).startswith("gpt-4o-mini") else IMAGE
    size = tokens = 0
    images: list[dict[str, Any]] = []
    for name, member in body.items():
        if name not in _UNBILLED:
            more_size, more_tokens = _measured(member, images if name in _WITH_IMAGES else None)
            size, tokens = size + more_size, tokens + more_tokens
    tokens += sum(low if _detail(image) == "low" else high for image in images)
    return tokens + -(-size // BYTES_PER_TOKEN)


def output_tokens(size: int, events: int = 0) -> int:
    """Return the estimated tokens of a part of an answer. `size`: UTF-8 bytes of text; `events`: stream events.

    Each event brings at least one token, and a token seldom has less than three bytes.
    """
    return max(events, -(-size // BYTES_PER_TOKEN))


def text_size(text: str) -> int:
    """Return the UTF-8 bytes of a text."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _measured(member: Any, images: list[dict[str, Any]] | None) -> tuple[int, int]:
    """Return the bytes of text in a member, and the tokens around its messages. Images go to `images`, None: text."""
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
        elif images is not None and value.get("type") in _IMAGES:
            images.append(value)
        else:
            tokens += PER_MESSAGE if "role" in value else 0
            size += sum(map(text_size, value))
            rest.extend(value.values())
    return size, tokens


def _detail(part: dict[str, Any]) -> object:
    image = part.get("image_url")  # an object in chat completions, a URL in responses
    return image.get("detail") if isinstance(image, dict) else part.get("detail")
