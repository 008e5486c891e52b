"""Estimates of tokens, and the bound of their error."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.openai.counting.token_estimate import input_tokens, output_tokens, text_size


def chat(content: Any, model: str = "gpt-4o") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def test_three_bytes_are_a_token() -> None:
    """Bytes of UTF-8 are counted in every place of the request."""
    empty = input_tokens(chat(""))
    assert input_tokens(chat("x" * 3_000)) == empty + 1_000
    assert input_tokens(chat("満" * 1_000)) == empty + 1_000
    assert input_tokens({**chat(""), "tools": [{"type": "function", "description": "x" * 3_000}]}) > empty + 1_000
    assert input_tokens({"model": "gpt-4o", "instructions": "x" * 300, "input": "y" * 600}) >= 300


@pytest.mark.parametrize(
    ("part", "model", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "data:" + "x" * 99_999, "detail": "low"}}, "gpt-4o", 300),
        ({"type": "image_url", "image_url": {"url": "https://example.com/tide.png"}}, "gpt-4o", 2_500),
        ({"type": "input_image", "image_url": "data:" + "x" * 99_999, "detail": "high"}, "gpt-6-luna", 3_000),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "low"}}, "gpt-4o-mini-2024-07-18", 2_833),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "auto"}}, "gpt-4o-mini", 48_169),
        ({"type": "image_url", "image_url": {"url": "x"}}, "gpt-6-luna", 36_000),
        ({"type": "input_image", "image_url": "x", "detail": "original"}, "gpt-5.6-sol", 36_000),
        ({"type": "input_image", "image_url": "x", "detail": "low"}, "gpt-6.1-terra", 310),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "original"}}, "gpt-5.4", 12_000),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "high"}}, "gpt-4.1-nano", 3_779),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "low"}}, "gpt-5.4-mini", 630),
        ({"type": "image_url", "image_url": {"url": "x", "detail": []}}, "tide-1", 2_500),
    ],
)
def test_an_image_has_an_allowance_by_its_detail(part: dict[str, Any], model: str, tokens: int) -> None:
    """The size of the image's data does not matter."""
    assert input_tokens(chat([part], model)) - input_tokens(chat([], model)) == tokens


def test_a_schema_may_list_its_types() -> None:
    """`"type": ["string", "null"]` is how a strict schema marks an optional member."""
    schema = {"type": "object", "properties": {"place": {"type": ["string", "null"]}}}
    tools = [{"type": "function", "function": {"name": "find_tide", "parameters": schema}}]
    assert input_tokens({**chat(""), "tools": tools}) > input_tokens(chat(""))
    assert input_tokens({"model": "gpt-4o", "input": [{"type": [], "role": "user", "content": "x"}]}) > 0


def test_text_in_the_form_of_an_image_is_text() -> None:
    """Only messages and input items have images. A tool's schema may hold any object as a default.

    Text counts beside an image's own members, too.
    """
    assert input_tokens({"messages": [{"role": "user", "type": "image_url", "content": "x" * 30_000}]}) > 10_000
    default = {"type": "image_url", "image_url": "x" * 30_000}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "default": default}}}]
    assert input_tokens({**chat(""), "tools": tools}) > 10_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda value: st.lists(value) | st.dictionaries(st.sampled_from(["type", "role", "detail", "image_url"]), value),
)


@given(JSON)
def test_every_value_has_an_estimate(value: Any) -> None:
    """`type` may be any value: in a schema of an optional argument it is an array."""
    schema = {"type": "object", "properties": {"at": {"type": ["string", "null"], "description": "x" * 300}}}
    for body in (chat(value), {"model": "gpt-4o", "input": "x", "tools": [value, {"parameters": schema}]}):
        assert input_tokens(body) > 0
    assert input_tokens({"model": "gpt-4o", "tools": [{"type": "function", "parameters": schema}]}) > 100


@given(st.text())
def test_an_estimate_is_a_third_of_the_bytes_at_least(content: str) -> None:
    """Tokens never exceed bytes, so the estimate is short by at most two thirds of the bytes."""
    assert input_tokens(chat(content)) * 3 >= text_size(content)


def test_a_part_of_an_answer_has_at_least_a_token_an_event() -> None:
    """Random characters take a token each, which the bytes do not show."""
    assert output_tokens(300, 20) == 100
    assert output_tokens(30, 20) == 20
    assert output_tokens(0) == 0
    assert text_size("満ちる") == 9
