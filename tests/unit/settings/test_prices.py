"""Prices and costs of calls, in nano-dollars."""

import datetime
from collections.abc import Iterator
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from broker.settings.prices import LONG_CONTEXT, PRICES, USUAL, Price, dollars, factor_of, price_of, price_table

LUNA = PRICES["gpt-6-luna"]
OPENAI = "https://api.openai.com/v1"


def test_a_call_costs_what_its_parts_cost() -> None:
    """Cached and written tokens have prices of their own, and are part of the input."""
    assert PRICES["gpt-4o"].cost((1_000, 400, 0, 100)) == 600 * 2_500 + 400 * 1_250 + 100 * 10_000
    assert LUNA.cost((1_000, 400, 100, 100)) == 500 * 100 + 400 * 10 + 100 * 125 + 100 * 500


def test_a_long_context_costs_more_as_a_whole() -> None:
    """Twice the input and 1.5 times the output above 272,000 input tokens."""
    assert LUNA.cost((272_000, 0, 0, 10)) == 272_000 * 100 + 10 * 500
    assert LUNA.cost((272_001, 0, 0, 10)) == 272_001 * 200 + 10 * 750


def test_a_tier_has_a_factor() -> None:
    """Flex costs half, priority double. Fractions are rounded up, so that nothing is free."""
    nano = PRICES["gpt-5-nano"]
    assert nano.cost((3, 3, 0, 0), factor_of({"service_tier": "flex"}, OPENAI)) == 8
    assert nano.cost((3, 0, 0, 1), factor_of({"service_tier": "priority"}, OPENAI)) == 2 * (3 * 50 + 400)
    assert factor_of({}, OPENAI) == factor_of({"service_tier": "default"}, OPENAI) == USUAL


def test_processing_in_one_region_costs_a_tenth_more() -> None:
    """OPENAI_BASE_URL names the region; a proxy or another host adds nothing."""
    for url in ("https://eu.api.openai.com/v1", "https://US.api.openai.com:443/v1"):
        assert LUNA.cost((1_000, 0, 0, 100), factor_of({}, url)) == (1_000 * 100 + 100 * 500) * 11 // 10
    assert factor_of({"service_tier": "flex"}, "https://eu.api.openai.com/v1") == (11, 20)
    for url in (OPENAI, "https://eu.api.openai.com.example.com/v1", "https://proxy.example.com/eu.api.openai.com"):
        assert factor_of({}, url) == USUAL


@given(
    st.sampled_from(sorted(PRICES)), st.integers(0, 400_000), st.integers(0, 400_000), st.integers(0, 400_000),
    st.integers(0, 100_000), st.sampled_from(["default", "flex", "priority"]), st.sampled_from(["", "eu."]),
)  # fmt: skip
def test_no_call_costs_more_than_its_worst(
    model: str, plain: int, cached: int, written: int, output: int, tier: str, region: str
) -> None:
    """A reservation at the worst prices covers every mix of the same tokens."""
    factor = factor_of({"service_tier": tier}, f"https://{region}api.openai.com/v1")
    price, total = PRICES[model], plain + cached + written
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


def test_a_price_below_a_nano_dollar_is_not_free() -> None:
    """Prices are whole nano-dollars a token, rounded up."""
    table = price_table(
        '{"tide": {"input": 0.0375, "cached_input": 0.0004, "output": 0.15}, "ebb": {"input": 0, "output": 0}}'
    )
    assert table == {"tide": Price(38, 1, 38, 150), "ebb": Price(0, 0, 0, 0)}


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


# https://github.com/pydantic/genai-prices, read from OpenAI's pricing page
PUBLISHED = {model.id: model for provider in providers if provider.id == "openai" for model in provider.models}
NAMES = {"input": "input_mtok", "cached": "cache_read_mtok", "cache_write": "cache_write_mtok", "output": "output_mtok"}
ROUNDING = Decimal("0.01")  # published prices of tiers are rounded


def published(model: ModelInfo, tier: str = "default") -> ModelPrice:
    """A model's prices of today."""
    return model.get_prices(datetime.datetime.now(datetime.UTC), {"service_tier": tier})


def amounts(price: ModelPrice) -> dict[str, Decimal | TieredPrices | None]:
    """By the names of `Price`. A cache write without a price of its own costs as much as input."""
    found = {name: getattr(price, theirs) for name, theirs in NAMES.items()}
    return found | {"cache_write": found["cache_write"] or found["input"]}


def nano(amount: Decimal | TieredPrices | None, *, is_long: bool = False) -> Decimal:
    """Nano-dollars per token, of a call below or above the long-context threshold."""
    if isinstance(amount, TieredPrices):
        amount = amount.tiers[0].price if is_long else amount.base
    assert amount is not None
    return amount * 1_000


def changes(table: dict[str, Price]) -> Iterator[str]:
    """Yield the differences of the table from the published prices, in nano-dollars."""
    for name, ours in table.items():
        if name not in PUBLISHED:
            yield f"{name} is not published"
            continue
        theirs = amounts(published(PUBLISHED[name]))
        for part, amount in theirs.items():
            if getattr(ours, part) != nano(amount):
                yield f"{name}: {part} costs {nano(amount).normalize():f} a token, the table has {getattr(ours, part)}"
        starts = {tier.start for amount in theirs.values() if isinstance(amount, TieredPrices) for tier in amount.tiers}
        if starts != ({ours.long_context} if ours.long_context else set()):
            yield f"{name}: long contexts begin at {sorted(starts)}, the table has {ours.long_context}"


def test_the_table_has_the_published_prices() -> None:
    """Each part of every model. A failure lists what has changed: correct `broker/settings/prices.py` and its date."""
    assert len(PRICES) > 18
    assert list(changes(dict(PRICES))) == []


def test_a_changed_price_is_named() -> None:
    """The comparison says which model, which part, and both amounts."""
    table = {
        "gpt-6-luna": Price(100, 10, 125, 400, 200_000),
        "gpt-4o": Price(2_500, 2_500, 2_500, 10_000),
        "tide": PRICES["o3"],
    }
    assert list(changes(table)) == [
        "gpt-6-luna: output costs 500 a token, the table has 400",
        "gpt-6-luna: long contexts begin at [272000], the table has 200000",
        "gpt-4o: cached costs 1250 a token, the table has 2500",
        "tide is not published",
    ]


def test_a_long_context_has_the_published_price() -> None:
    """Twice the input and the cache, one and a half times the output, of the whole call."""
    count = LONG_CONTEXT + 1
    for name, ours in PRICES.items():
        theirs = amounts(published(PUBLISHED[name]))
        expected = count * nano(theirs["cached"], is_long=True) + 10 * nano(theirs["output"], is_long=True)
        assert ours.cost((count, count, 0, 10)) == expected, name
        expected = count * nano(theirs["cache_write"], is_long=True)
        assert ours.cost((count, 0, count, 0)) == expected, name


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_no_tier_is_charged_below_its_published_price(tier: str) -> None:
    """A model's own factor may be smaller."""
    factor, compared = factor_of({"service_tier": tier}, OPENAI), 0
    for name, ours in PRICES.items():
        model = PUBLISHED[name]
        if not any(variant.when.get("service_tier") == tier for variant in model.price_variants or ()):
            continue
        theirs, compared = amounts(published(model, tier)), compared + 1
        for part, amount in theirs.items():
            charged = Decimal(getattr(ours, part) * factor[0]) / factor[1]
            assert charged >= nano(amount) * (1 - ROUNDING), (name, part)
    assert compared > 10
