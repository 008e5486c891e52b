"""The prompt size counts all text that OpenAI bills, in every place of the request."""

from typing import Any

import pytest

from broker.openai.requests import prompt_size

BIG = "x" * 1000
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": BIG}}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + BIG}}


def user(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x", **members}]}


@pytest.mark.parametrize(
    "body",
    [user(content=BIG), user(content=[{"type": "text", "text": BIG}]), user(name=BIG), user(refusal=BIG),
     user(role=BIG),
     user(content=[{"type": "refusal", "refusal": BIG}]), user(tool_calls=[CALL]), user(function_call=CALL["function"]),
     user(content=[PDF]), {"tools": [{"type": "function", "function": {"name": "f", "description": BIG}}]},
     {"tools": [{"function": {"parameters": {"properties": {BIG: {}}}}}]}, {"functions": [{"description": BIG}]},
     {"tools": [{"function": {"parameters": {"enum": list(range(1000))}}}]}, {"stop": [BIG]}, {"stop": BIG},
     {"response_format": {"json_schema": {"schema": {"description": BIG}}}},
     {"tool_choice": {"function": {"name": BIG}}},
     {"prediction": {"type": "content", "content": BIG}}, {"instructions": BIG}, {"input": BIG},
     {"input": [{"type": "message", "content": [{"type": "input_text", "text": BIG}]}]},
     {"input": [{"type": "function_call_output", "output": BIG}]}, {"text": {"format": {"schema": {"title": BIG}}}}],
)  # fmt: skip
def test_all_that_is_billed_counts(body: dict[str, Any]) -> None:
    """Requests of both APIs are counted."""
    assert prompt_size.count(body) >= 1000


@pytest.mark.parametrize(
    "body",
    [user(), user(content=[{"type": "image_url", "image_url": {"url": BIG}}]), {"metadata": {"x": BIG}}, {},
     {"input": [{"content": [{"type": "input_image", "image_url": BIG}]}]}, user(content=None, refusal=None)],
)  # fmt: skip
def test_images_and_the_format_itself_do_not_count(body: dict[str, Any]) -> None:
    """OpenAI bills an image by its size in pixels."""
    assert prompt_size.count(body) <= 1


def test_a_text_counts_once() -> None:
    """Every character counts as one, in every script."""
    assert prompt_size.count(user(content="潮汐🌊")) == 3
