"""The amounts to reserve for a request, and to charge after it."""

from typing import Any

import pytest

from broker.openai.counting.token_usage import with_tier
from broker.openai.prepared_call import PreparedCall
from broker.settings.settings import Settings
from tests.apps import REQUIRED

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}


def prepared(**members: Any) -> PreparedCall:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 300}], **members}
    call = PreparedCall("gpt-4o", body)
    call.demand(Settings.from_environ(REQUIRED))
    return call


def demand(**members: Any) -> tuple[int, int, int, int]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 300}], **members}
    return PreparedCall("gpt-4o", body).demand(Settings.from_environ(REQUIRED))


def test_the_demand_is_the_input_and_the_longest_answer() -> None:
    """Prices are the worst ones, and all choices count."""
    assert demand()[1:] == (16_384, 2_500, 10_000)
    assert 100 < demand()[0] < 130
    assert demand(max_completion_tokens=50)[1] == 50
    assert demand(max_completion_tokens=50, n=3)[1] == 150
    assert demand(service_tier="priority")[2:] == (5_000, 20_000)
    assert demand(service_tier="flex")[2:] == (2_500, 10_000)  # OpenAI may serve it as usual
    assert demand(model="tide-1")[2:] == (0, 0)


def test_a_stored_context_counts_as_input() -> None:
    """OpenAI bills it with the new text, also at the price of a long context. It is part of the estimate."""
    settings, body = Settings.from_environ(REQUIRED), {"model": "gpt-4o", "input": "x" * 300}
    new, whole = (PreparedCall("gpt-4o", dict(body), stored_tokens=tokens) for tokens in (0, 5_000))
    assert whole.demand(settings)[0] == new.demand(settings)[0] + 5_000
    assert whole.charge({}, 7).usage.total == new.charge({}, 7).usage.total + 5_000
    assert whole.charge(USAGE, 7) == new.charge(USAGE, 7)
    long = PreparedCall("gpt-6-sol", {"model": "gpt-6-sol", "input": "x"}, stored_tokens=300_000)
    short = PreparedCall("gpt-6-sol", {"model": "gpt-6-sol", "input": "x"})
    assert long.demand(settings)[2] > short.demand(settings)[2]


def test_an_answer_is_bounded_to_what_was_reserved() -> None:
    """Each API has its own member for the bound, which never exceeds the request's."""
    call = prepared(max_completion_tokens=50)
    call.bound_output(40)
    assert call.body["max_completion_tokens"] == 40
    call.bound_output(60)
    assert call.body["max_completion_tokens"] == 40
    response = PreparedCall("gpt-4o", {"model": "gpt-4o", "input": "x"}, cap_name="max_output_tokens")
    response.bound_output(60)
    assert response.body["max_output_tokens"] == 60


def test_all_choices_together_keep_the_bound() -> None:
    """A patch of MODELS may ask for several choices. OpenAI bounds each of them."""
    call = prepared(max_completion_tokens=500, n=3)
    call.bound_output(100)
    assert call.body["max_completion_tokens"] == 33
    call.bound_output(1)
    assert call.body["max_completion_tokens"] == 1


def test_an_answer_is_bounded_by_the_name_that_a_patch_gives() -> None:
    """OpenAI refuses a request with both names, and other servers know only the older one."""
    assert demand(max_tokens=50)[1] == 50
    call = prepared(max_tokens=50)
    call.bound_output(40)
    assert call.body["max_tokens"] == 40
    assert "max_completion_tokens" not in call.body


def test_the_body_is_released_once_it_is_sent() -> None:
    """The charge does not need it."""
    call = prepared()
    assert call.take_request()["model"] == "gpt-4o"
    assert call.body == {}
    assert call.charge({}, 0).nano_dollars == call.charge({}, 0).usage.input * 2_500


def test_usage_is_charged_and_else_an_estimate() -> None:
    """Without usage the estimated input and the delivered output are charged. Zeros after an error are no usage."""
    charge = prepared().charge(USAGE, 7)
    assert (charge.amounts, charge.is_estimated) == ((120, 40 * 2_500 + 60 * 1_250 + 20 * 10_000), False)
    estimate = prepared().charge({"prompt_tokens": 0, "completion_tokens": 0}, 7)
    assert estimate.is_estimated
    assert estimate.usage.output == 7
    assert estimate.usage.input > 100
    unpriced = prepared(model="tide-1").charge(USAGE, 0)
    assert (unpriced.nano_dollars, unpriced.amounts) == (None, (120, 0))


@pytest.mark.parametrize(
    ("asked", "served", "times"),
    [
        ("flex", "flex", 0.5), ("flex", "default", 1), ("auto", "priority", 2), ("auto", "flex", 0.5),
        ("priority", "default", 1), ("flex", "auto", 0.5), ("flex", None, 0.5), ("flex", "new", 0.5),
    ],
)  # fmt: skip
def test_the_tier_that_served_the_answer_is_charged(asked: str, served: str | None, times: float) -> None:
    """OpenAI bills that one, which may differ from the request's. An unknown one costs as much as the request's."""
    for usage in ({"prompt_tokens": 100, "completion_tokens": 20}, {"input_tokens": 100, "output_tokens": 20}):
        charge = prepared(service_tier=asked).charge(with_tier(usage, {"service_tier": served}), 0)
        assert charge.nano_dollars == (100 * 2_500 + 20 * 10_000) * times
