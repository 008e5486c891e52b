"""Prices and costs of calls, in nano-dollars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.settings.prices import PRICES, Price, dollars, price_of, price_table, tier_of

LUNA = PRICES["gpt-6-luna"]


def test_a_call_costs_what_its_parts_cost() -> None:
    """Cached and written tokens have prices of their own, and are part of the input."""
    assert PRICES["gpt-4o"].cost((1_000, 400, 0, 100)) == 600 * 2_500 + 400 * 1_250 + 100 * 10_000
    assert LUNA.cost((1_000, 400, 100, 100)) == 500 * 100 + 400 * 10 + 100 * 125 + 100 * 500


def test_a_long_context_costs_more_as_a_whole() -> None:
    """gpt-6-luna costs twice the input and 1.5 times the output above 272,000 input tokens."""
    assert LUNA.cost((272_000, 0, 0, 10)) == 272_000 * 100 + 10 * 500
    assert LUNA.cost((272_001, 0, 0, 10)) == 272_001 * 200 + 10 * 750


def test_a_tier_has_a_factor() -> None:
    """Flex costs half, priority double. Fractions are rounded up, so that nothing is free."""
    nano = PRICES["gpt-5-nano"]
    assert nano.cost((3, 3, 0, 0), tier_of({"service_tier": "flex"})) == 8
    assert nano.cost((3, 0, 0, 1), tier_of({"service_tier": "priority"})) == 2 * (3 * 50 + 400)
    assert tier_of({}) == tier_of({"service_tier": "default"}) == (1, 1)


@given(
    st.sampled_from(sorted(PRICES)), st.integers(0, 400_000), st.integers(0, 400_000), st.integers(0, 400_000),
    st.integers(0, 100_000), st.sampled_from(["default", "flex", "priority"]),
)  # fmt: skip
def test_no_call_costs_more_than_its_worst(
    model: str, plain: int, cached: int, written: int, output: int, tier: str
) -> None:
    """A reservation at the worst prices covers every mix of the same tokens."""
    price, factor, total = PRICES[model], tier_of({"service_tier": tier}), plain + cached + written
    each_in, each_out = price.worst(total, factor)
    assert price.cost((total, cached, written, output), factor) <= total * each_in + output * each_out


def test_a_snapshot_has_the_price_of_its_model() -> None:
    """It may have its own price. An unknown model has none."""
    assert price_of("gpt-4o-2024-08-06", {}) is PRICES["gpt-4o"]
    own = Price(1, 1, 1, 1)
    assert price_of("gpt-4o-2024-08-06", {"gpt-4o-2024-08-06": own}) is own
    assert price_of("gpt-4o", {"gpt-4o": own}) is own
    assert price_of("tide-1", {}) is None


def test_prices_are_given_in_dollars_per_million_tokens() -> None:
    """A missing price equals that of input."""
    table = price_table('{"tide": {"input": 2.5, "output": 10}, "ebb": {"input": 1, "cached_input": 0.1, "output": 2}}')
    assert table == {"tide": Price(2_500, 2_500, 2_500, 10_000), "ebb": Price(1_000, 100, 1_000, 2_000)}


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"a": 5}', '{"a": {"input": 1}}', '{"a": {"input": -1, "output": 1}}',
        '{"a": {"input": "1", "output": 1}}', '{"a": {"input": true, "output": 1}}',
        '{"a": {"input": 1, "output": 1, "inptu": 1}}', '{"a": {"input": NaN, "output": 1}}',
    ],
)  # fmt: skip
def test_invalid_prices_are_refused(text: str) -> None:
    """The message names the setting."""
    with pytest.raises(ValueError, match="must"):
        price_table(text)


@pytest.mark.parametrize(("text", "nano"), [("0", 0), ("2.50", 2_500_000_000), ("0.000000001", 1)])
def test_dollars_are_exact(text: str, nano: int) -> None:
    """No binary fraction is involved."""
    assert dollars(text) == nano


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "two", "1e9", ""])
def test_invalid_amounts_are_refused(text: str) -> None:
    """Amounts that Redis' scripts cannot count exactly are invalid, too."""
    with pytest.raises(ValueError, match="US dollars"):
        dollars(text)
