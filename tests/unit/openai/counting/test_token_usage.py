"""Token counts as both APIs send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.openai.counting.token_usage import TokenUsage, with_tier

CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 15},
}
RESPONSES = {
    "input_tokens": 100,
    "output_tokens": 20,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
    "output_tokens_details": {"reasoning_tokens": 15},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*CHAT, *RESPONSES, "cached_tokens"]), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("usage", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_both_apis_give_the_same_counts(usage: dict[str, object]) -> None:
    """Cached and written tokens are part of the input, reasoning is part of the output."""
    assert TokenUsage.read(usage) == TokenUsage(input=100, cached=60, cache_write=30, output=20, reasoning=15)


def test_details_may_be_missing() -> None:
    """Older models and other servers send none."""
    assert TokenUsage.read({"prompt_tokens": 3, "completion_tokens": 4}) == TokenUsage(3, 0, 0, 4, 0)
    assert TokenUsage.read({"input_tokens": 3, "output_tokens": 4, "input_tokens_details": None}) is not None


@pytest.mark.parametrize(
    "usage",
    [
        None, {}, [], "usage", {"prompt_tokens": 3}, {"prompt_tokens": 3, "completion_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": 1.5, "completion_tokens": 2}, {"prompt_tokens": 10**9, "completion_tokens": 2},
    ],
)  # fmt: skip
def test_a_missing_or_malformed_usage_is_none(usage: object) -> None:
    """The caller then charges an estimate."""
    assert TokenUsage.read(usage) is None


def test_zeros_after_an_error_are_no_usage() -> None:
    """OpenAI sends them after an error event, and the tokens before it were not free."""
    assert TokenUsage.read({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}) is None


def test_parts_never_exceed_their_whole() -> None:
    """No part is charged for more tokens than the whole has."""
    usage = {**CHAT, "prompt_tokens": 70, "completion_tokens_details": {"reasoning_tokens": 999}}
    assert TokenUsage.read(usage) == TokenUsage(70, 60, 10, 20, 20)


@given(JSON)
def test_any_json_is_read_without_a_fault(usage: object) -> None:
    """Input from the network is never trusted."""
    read = TokenUsage.read(usage)
    assert read is None or read.cached + read.cache_write <= read.input


def test_the_tier_goes_with_the_usage() -> None:
    """An answer without usage has none, and a malformed tier is left out."""
    assert with_tier(CHAT, {"service_tier": "flex"}) == {**CHAT, "service_tier": "flex"}
    assert with_tier(CHAT, {"service_tier": 7}) == with_tier(CHAT, {}) == CHAT
    assert with_tier({}, {"service_tier": "flex"}) == {}
