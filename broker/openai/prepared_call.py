"""A checked request to OpenAI, with the amounts to reserve before the call and to charge after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from broker.openai.counting import token_estimate
from broker.openai.counting.token_usage import TokenUsage
from broker.settings.prices import Factor, Price, factor_of, highest, price_of
from broker.settings.settings import Settings

_OLDER_CAP = "max_tokens"  # only a patch of MODELS has it: a request's own is renamed


class Charge(NamedTuple):
    """The charge for a call. `is_estimated`: OpenAI sent no usage. `nano_dollars`: None for a model without a price."""

    usage: TokenUsage
    nano_dollars: int | None
    is_estimated: bool

    @property
    def amounts(self) -> tuple[int, int]:
        """Tokens and nano-dollars."""
        return self.usage.total, self.nano_dollars or 0

    @property
    def sides(self) -> tuple[int, int]:
        """Tokens of the input and of the output."""
        return self.usage.input, self.usage.output


@dataclass(slots=True)
class PreparedCall:
    """One request, read and checked.

    `model` is the clients' name. `body` is the request for OpenAI, patches included. `cap_name` is the member of the
    body that bounds the answer. `is_stream` and `wants_usage` say how the client wants the answer. `key_fingerprint`
    names the OpenAI key that holds what the request refers to. `stored_tokens` are the tokens of that; OpenAI bills
    them as input.
    """

    model: str
    body: dict[str, Any] = field(repr=False)
    cap_name: str = "max_completion_tokens"
    is_stream: bool = False
    wants_usage: bool = False
    key_fingerprint: str | None = None
    stored_tokens: int = 0
    _input_tokens: int = 0
    _price: Price | None = None
    _tier: object = None
    _base_url: str = ""

    def demand(self, settings: Settings) -> tuple[int, int, int, int]:
        """Return the demand: estimated input tokens, the longest answer, and nano-dollars for a token of either.

        Without a cap an answer counts as MAX_COMPLETION_TOKENS long. A cheaper tier counts at the usual price, at which
        OpenAI serves the request if that tier is full.
        """
        if self.cap_name not in self.body and _OLDER_CAP in self.body:
            self.cap_name = _OLDER_CAP
        self._input_tokens = token_estimate.input_tokens(self.body) + self.stored_tokens
        self._price = price_of(str(self.body.get("model")), settings.prices)
        self._tier, self._base_url = self.body.get("service_tier"), settings.openai_base_url
        factor = highest(self._factor(), self._factor("default"))
        each_in, each_out = self._price.worst(self._input_tokens, factor) if self._price else (0, 0)
        return self._input_tokens, self._cap(settings.max_completion_tokens) * self._choices(), each_in, each_out

    def bound_output(self, tokens: int) -> None:
        """Lower the cap of each choice, so that all together have the reserved `tokens`."""
        of_each = max(1, tokens // self._choices())
        self.body[self.cap_name] = min(self._cap(of_each), of_each)

    def take_request(self) -> dict[str, Any]:
        """Return the body for OpenAI and release it: it may have megabytes, and an answer may take minutes."""
        body, self.body = self.body, {}
        return body

    def charge(self, raw_usage: Mapping[str, Any], delivered_tokens: int) -> Charge:
        """Return the charge: by OpenAI's usage, else by the estimated input and the delivered output.

        The `service_tier` in `raw_usage` is the answer's.
        """
        usage = TokenUsage.read(raw_usage)
        is_estimated = usage is None
        if usage is None:
            usage = TokenUsage(self._input_tokens, 0, 0, delivered_tokens, 0)
        factor = self._factor(raw_usage.get("service_tier"))
        counts = (usage.input, usage.cached, usage.cache_write, usage.output)
        return Charge(usage, self._price.cost(counts, factor) if self._price else None, is_estimated)

    def _factor(self, served: object = None) -> Factor:
        return factor_of({"service_tier": self._tier}, self._base_url, served)

    def _choices(self) -> int:
        choices = self.body.get("n")
        return choices if type(choices) is int and choices > 1 else 1

    def _cap(self, default: int) -> int:
        cap = self.body.get(self.cap_name)
        return cap if type(cap) is int and cap > 0 else default
