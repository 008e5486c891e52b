"""OpenAI's prices per token, and the cost of a call. Pure, in integers: nano-dollars (10⁻⁹ USD).

Prices: https://platform.openai.com/docs/pricing, as read on `AS_OF`. One USD per million tokens is 1,000 nano-dollars
per token. `PRICES` overrides the table or adds to it.
"""

import functools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

AS_OF = "2026-11-26"
NANO = 10**9  # nano-dollars in a dollar
LONG_CONTEXT = 272_000  # input tokens of gpt-5.6 and later above which a call costs 2 × input and cache, 1.5 × output
Factor = tuple[int, int]  # numerator and denominator
USUAL: Factor = (1, 1)
# https://platform.openai.com/docs/guides/flex-processing, /priority-processing. Priority costs 1.7 to 2 times as much;
# the most is charged for every model.
TIERS: Mapping[str, Factor] = {"default": USUAL, "flex": (1, 2), "batch": (1, 2), "priority": (2, 1), "fast": (2, 1)}
REGIONAL: Factor = (
    11,
    10,
)  # https://platform.openai.com/docs/guides/your-data: processing in one region costs 10 % more
_REGIONAL_HOST = re.compile(r"[a-z]{2}\.api\.openai\.com")
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_MEMBERS = ("input", "cached_input", "cache_write", "output", "long_context")


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per token. `long_context`: input tokens above which the whole call costs more; None: never."""

    input: int
    cached: int
    cache_write: int
    output: int
    long_context: int | None = None

    # the four counts of `TokenUsage`, which this package must not import, and the factor
    def cost(self, counts: tuple[int, int, int, int], factor: Factor = USUAL) -> int:
        """Return a call's cost in nano-dollars, rounded up.

        `counts`: input tokens, those of them read from the cache, those written to it, and output tokens.
        """
        total, cached, written, output = counts
        cost_in = (total - cached - written) * self.input + cached * self.cached + written * self.cache_write
        cost_out = output * self.output
        if self.long_context is not None and total > self.long_context:
            cost_in, cost_out = 2 * cost_in, cost_out * 3 // 2
        return -(-(cost_in + cost_out) * factor[0] // factor[1])

    def worst(self, input_tokens: int, factor: Factor = USUAL) -> tuple[int, int]:
        """Return the highest price of an input token and of an output token in a call of this size."""
        dearest = max(self.input, self.cached, self.cache_write)
        is_long = self.long_context is not None and input_tokens > self.long_context
        each_in, each_out = (2 * dearest, self.output * 3 // 2) if is_long else (dearest, self.output)
        return -(-each_in * factor[0] // factor[1]), -(-each_out * factor[0] // factor[1])


PRICES: Mapping[str, Price] = {
    "gpt-4o": Price(2_500, 1_250, 2_500, 10_000),
    "gpt-4o-mini": Price(150, 75, 150, 600),
    "gpt-4.1": Price(2_000, 500, 2_000, 8_000),
    "gpt-4.1-mini": Price(400, 100, 400, 1_600),
    "gpt-4.1-nano": Price(100, 25, 100, 400),
    "gpt-5": Price(1_250, 125, 1_250, 10_000),
    "gpt-5-mini": Price(250, 25, 250, 2_000),
    "gpt-5-nano": Price(50, 5, 50, 400),
    "gpt-5.1": Price(1_250, 125, 1_250, 10_000),
    "gpt-5.2": Price(1_750, 175, 1_750, 14_000),
    "gpt-5.4-mini": Price(750, 75, 750, 4_500),
    "gpt-5.6-sol": Price(4_000, 400, 5_000, 20_000, LONG_CONTEXT),
    "gpt-5.6-terra": Price(2_000, 200, 2_500, 12_000, LONG_CONTEXT),
    "gpt-5.6-luna": Price(200, 20, 250, 1_200, LONG_CONTEXT),
    "gpt-6-luna": Price(100, 10, 125, 500, LONG_CONTEXT),
    "gpt-6-sol": Price(2_000, 200, 2_500, 10_000, LONG_CONTEXT),
    "gpt-6.1-sol": Price(2_000, 100, 2_500, 10_000, LONG_CONTEXT),
    "gpt-6.1-terra": Price(1_000, 50, 1_250, 5_000, LONG_CONTEXT),
    "gpt-6-astra": Price(10_000, 1_000, 12_500, 50_000, LONG_CONTEXT),
    "o3": Price(2_000, 500, 2_000, 8_000),
    "o4-mini": Price(1_100, 275, 1_100, 4_400),
}


def price_of(model: str, overrides: Mapping[str, Price]) -> Price | None:
    """Return a model's price, by its name or, for a dated snapshot, by the name without its date."""
    if found := overrides.get(model) or PRICES.get(model):
        return found
    alias = _SNAPSHOT.sub("", model)
    return overrides.get(alias) or PRICES.get(alias)


def factor_of(body: Mapping[str, object], base_url: str, served: object = None) -> Factor:
    """Return what multiplies a request's price: its `service_tier`, and the region that OPENAI_BASE_URL names.

    `served`: the `service_tier` of the answer, which decides if it is a known one. OpenAI's project may have a tier of
    its own for requests with "auto", and OpenAI serves a request on the usual tier if the other one is full.
    """
    tier = TIERS.get(str(served)) or TIERS.get(str(body.get("service_tier")), USUAL)
    return (tier[0] * REGIONAL[0], tier[1] * REGIONAL[1]) if _is_regional(base_url) else tier


def highest(one: Factor, other: Factor) -> Factor:
    """Return the higher of two factors."""
    return one if one[0] * other[1] > other[0] * one[1] else other


@functools.cache
def _is_regional(base_url: str) -> bool:
    return bool(_REGIONAL_HOST.fullmatch(urlsplit(base_url).hostname or ""))


def dollars(text: str) -> int:
    """Parse an amount of US dollars; return nano-dollars. Raises `ValueError`."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be an amount of US dollars, such as 2.50") from None
    if not amount.is_finite() or not 0 <= amount <= 9_000_000:  # Redis' scripts count exactly below 2⁵³
        raise ValueError("must be an amount of US dollars from 0 to 9000000, such as 2.50")
    return int(amount * NANO)


def price_table(text: str) -> Mapping[str, Price]:
    """Parse `PRICES`: USD per million tokens by model, rounded up to nano-dollars a token. Raises `ValueError`."""
    try:
        table = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        raise ValueError("must be JSON") from None
    if not isinstance(table, dict):
        raise ValueError('must be a JSON object such as {"my-model": {"input": 2.5, "output": 10}}')
    return {name: _price(name, members) for name, members in table.items()}


def _price(name: str, members: object) -> Price:
    known = isinstance(members, dict) and {"input", "output"} <= members.keys() <= set(_MEMBERS)
    if not isinstance(members, dict) or not known or not all(_is_amount(one) for one in members.values()):
        raise ValueError(f"must give '{name}' amounts for input and output, and for none but {', '.join(_MEMBERS)}")
    nano = {member: math.ceil(amount * 1_000) for member, amount in members.items()}
    threshold = int(members["long_context"]) if "long_context" in members else None
    written = nano.get("cache_write", nano["input"])
    return Price(nano["input"], nano.get("cached_input", nano["input"]), written, nano["output"], threshold)


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and 0 <= value <= 10**9
