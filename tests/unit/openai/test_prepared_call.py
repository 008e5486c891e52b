"""The amounts to reserve for a request, and to charge after it."""

from typing import Any

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
    assert demand(model="tide-1")[2:] == (0, 0)


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
    """Without usage the estimated input and the delivered output are charged. Zeros after an error are no usage.

    The answer's tier decides the price, else the request's.
    """
    charge = prepared().charge(USAGE, 7)
    assert (charge.amounts, charge.is_estimated) == ((120, 40 * 2_500 + 60 * 1_250 + 20 * 10_000), False)
    estimate = prepared().charge({"prompt_tokens": 0, "completion_tokens": 0}, 7)
    assert estimate.is_estimated
    assert estimate.usage.output == 7
    assert estimate.usage.input > 100
    flex = prepared(service_tier="flex")
    assert flex.charge(USAGE, 0).nano_dollars == charge.amounts[1] // 2
    assert flex.charge({**USAGE, "service_tier": "default"}, 0).amounts == charge.amounts
    assert prepared().charge({**USAGE, "service_tier": "priority"}, 0).nano_dollars == 2 * charge.amounts[1]
    assert flex.charge({**USAGE, "service_tier": "auto"}, 0).nano_dollars == charge.amounts[1] // 2
    unpriced = prepared(model="tide-1").charge(USAGE, 0)
    assert (unpriced.nano_dollars, unpriced.amounts) == (None, (120, 0))
