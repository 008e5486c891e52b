"""Refused parameters are left out, remembered by model and effort, and tried again after an hour."""

from typing import Any

import pytest

from broker.errors.openai import ParameterUnsupported
from broker.openai.refused_parameters import MOST_KEYS, RefusedParameters
from broker.settings.parsers import SAMPLING_PARAMETERS
from deploy.local.generations import GENERATIONS

TOOLS = [{"type": "function", "function": {"name": "get_tide"}}]


class Model:
    """OpenAI, with the generation of each model."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any]) -> str:
        """Answer, or refuse as the model does."""
        self.asked.append(body)
        if refusal := GENERATIONS[body["model"]].refusal(body):
            sentence, param, code = refusal
            raise ParameterUnsupported(sentence, details={"openai": {"code": code, "param": param}})
        return "answer"


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def refused(now: list[float]) -> RefusedParameters:
    return RefusedParameters(SAMPLING_PARAMETERS, lambda: now[0])


def test_each_refused_parameter_is_left_out(refused: RefusedParameters, model: Model) -> None:
    """OpenAI names one at a time; afterwards one request is enough."""
    body = {"model": "gpt-5", "messages": [], "temperature": 0.7, "top_p": 1, "presence_penalty": 0, "logit_bias": {}}
    for asked in (5, 1):
        answer, changes = refused.ask(body, model)
        assert (answer, set(changes)) == ("answer", {"temperature", "top_p", "presence_penalty", "logit_bias"})
        assert len(model.asked) == asked
        assert model.asked[-1] == {"model": "gpt-5", "messages": []}
        model.asked.clear()
    assert body["temperature"] == 0.7


def test_a_refusal_on_one_api_does_not_concern_the_other(refused: RefusedParameters, model: Model) -> None:
    """The Responses API takes function tools with any effort, and has no `reasoning_effort`."""
    chat = {"model": "gpt-6-luna", "messages": [], "tools": TOOLS}
    assert refused.ask(chat, model)[1] == ("reasoning_effort=none",)
    response = {"model": "gpt-6-luna", "input": "x", "tools": TOOLS}
    assert refused.known(response) == ()
    assert refused.ask(response, str)[0] == str(response)
    assert refused.known(chat) == ("reasoning_effort=none",)


def test_a_refusal_with_one_effort_does_not_concern_another(refused: RefusedParameters, model: Model) -> None:
    """A request with effort must not take the temperature from requests without."""
    body = {"model": "gpt-6-luna", "temperature": 0.7}
    assert refused.ask({**body, "reasoning_effort": "high"}, model)[1] == ("temperature",)
    assert refused.ask({**body, "reasoning_effort": "none"}, model)[1] == ()
    assert model.asked[-1]["temperature"] == 0.7
    assert refused.ask({**body, "reasoning": {"effort": "high"}}, model)[1] == (
        "temperature",
    )  # the other API's spelling


def test_a_refusal_is_forgotten_after_an_hour(
    refused: RefusedParameters, model: Model, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once an hour."""
    body = {"model": "o-strict", "temperature": 0.7}
    for later, asked in ((0, 2), (3599, 1), (1, 2)):
        now[0] += later
        model.asked.clear()
        assert refused.ask(body, model)[1] == ("temperature",)
        assert len(model.asked) == asked
    assert len(caplog.records) == 2


@pytest.mark.parametrize("name", ["stop", "max_tokens", "top_logprobs"])
def test_parameters_that_change_the_answers_meaning_are_never_left_out(
    refused: RefusedParameters, model: Model, name: str
) -> None:
    """OpenAI's 400 goes to the client."""
    with pytest.raises(ParameterUnsupported):
        refused.ask({"model": "gpt-5", name: 1}, model)
    assert len(model.asked) == 1


def test_the_operator_decides_what_may_be_left_out(model: Model) -> None:
    """DROPPABLE_PARAMETERS lists the parameters."""
    with pytest.raises(ParameterUnsupported):
        RefusedParameters(frozenset()).ask({"model": "gpt-5", "temperature": 0.7}, model)


@pytest.mark.parametrize("effort", [{}, {"reasoning_effort": "high"}])
def test_function_tools_are_asked_for_without_effort(
    refused: RefusedParameters, model: Model, effort: dict[str, str]
) -> None:
    """The gpt-6 series takes them with effort `none` only; then it takes a temperature, too."""
    body = {"model": "gpt-6-luna", "tools": TOOLS, **effort}
    for asked in (2, 1):
        assert refused.ask(body, model) == ("answer", ("reasoning_effort=none",))
        assert model.asked[-1] == {"model": "gpt-6-luna", "tools": TOOLS, "reasoning_effort": "none"}
        assert len(model.asked) == asked
        model.asked.clear()
    assert refused.ask({**body, "temperature": 0.7}, model)[1] == ("reasoning_effort=none",)
    assert refused.ask({"model": "gpt-6-luna", **effort}, model)[1] == ()


@pytest.mark.parametrize("body", [
    {"model": "gpt-6-luna", "reasoning_effort": "minimal"},
    {"model": "gpt-6-luna", "reasoning_effort": "minimal", "tools": TOOLS},
    {"model": "gpt-6.1-sol", "tools": TOOLS},
])  # fmt: skip
def test_an_effort_that_the_model_does_not_have_is_the_callers(
    refused: RefusedParameters, model: Model, body: dict[str, Any]
) -> None:
    """`none` does not stand for an unknown effort, and is not tried twice where the model has none."""
    with pytest.raises(ParameterUnsupported):
        refused.ask(body, model)
    assert len(model.asked) <= 2


def test_a_model_without_the_effort_none_refuses_the_tools_in_openais_words(
    refused: RefusedParameters, model: Model
) -> None:
    """Not an effort that the client never sent, also not the second time."""
    for _ in range(2):
        with pytest.raises(ParameterUnsupported, match="To use function tools, use /v1/responses"):
            refused.ask({"model": "gpt-6.1-sol", "tools": TOOLS}, model)
    assert refused.known({"model": "gpt-6.1-sol", "tools": TOOLS}) == ()


def test_made_up_efforts_do_not_fill_the_memory(refused: RefusedParameters) -> None:
    """Clients choose the effort."""

    def refuse(body: dict[str, Any]) -> None:
        if "temperature" in body:
            raise ParameterUnsupported(details={"openai": {"param": "temperature"}})

    for number in range(MOST_KEYS + 10):
        refused.ask({"model": "gpt-5", "reasoning_effort": str(number), "temperature": 0}, refuse)
    assert len(refused._refused) <= MOST_KEYS
