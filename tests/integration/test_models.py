"""The endpoints work with successors of the models."""

import json
from collections.abc import Callable

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.waiting import within

NewUser = Callable[[BrokerProcess], User]
SUCCESSOR = {"model": "gpt-6-luna", "reasoning_effort": "none"}


def test_models_alone_points_both_names_at_the_successor(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The patch sets the parameters that it needs. Clients keep using the old names."""
    models = json.dumps({"gpt-4o": SUCCESSOR, "gpt-4o-mini": SUCCESSOR})
    user = new_user(start_broker(MODELS=models))
    assert user.post("/gpt-4o", {"messages": "x", "temperature": 0.3}).json() == {"message": ANSWER}
    with user.stream(model="gpt-4o-mini") as stream:
        assert stream.status_code == 200
    for seen in openai.completions():
        assert (seen.model, seen.body["reasoning_effort"]) == ("gpt-6-luna", "none")


def test_a_model_that_refuses_the_temperature_is_asked_without(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Whole answers and streams name the parameter. The refusal is remembered and logged once."""
    models = json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "o-strict"})
    broker = start_broker(MODELS=models, WEB_CONCURRENCY="1")
    user = new_user(broker)
    for _ in range(3):
        whole = user.post("/gpt-4o", {"messages": "x"})
        with user.stream(model="gpt-4o-mini") as stream:
            assert stream.content
        assert whole.json() == {"message": ANSWER}
        assert stream.status_code == 200
        assert {answer.headers["X-Dropped-Parameters"] for answer in (whole, stream)} == {"temperature"}
        assert "X-Dropped-Parameters" in whole.headers["Access-Control-Expose-Headers"]
    asked = [(seen.model, "temperature" in seen.body) for seen in openai.completions()]
    assert asked.count(("gpt-6-luna", True)) == asked.count(("o-strict", True)) == 1
    assert asked.count(("gpt-6-luna", False)) == asked.count(("o-strict", False)) == 3
    lines = broker.log_lines("model refuses a parameter; requests go without it for an hour")
    assert [(line["model"], line["parameter"]) for line in lines] == [
        ("gpt-6-luna", "temperature"), ("o-strict", "temperature")
    ]  # fmt: skip


def test_one_users_effort_leaves_other_users_their_temperature(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The successor accepts a temperature without effort: a request with effort loses its own only."""
    models = json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": SUCCESSOR})
    user = new_user(start_broker(MODELS=models, WEB_CONCURRENCY="1"))
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "temperature": 0.2}
    assert user.post("/v1/chat/completions", {**body, "reasoning_effort": "high"}).status_code == 200
    plain = user.post("/v1/chat/completions", {**body, "reasoning_effort": "none"})
    assert (plain.status_code, plain.headers.get("X-Dropped-Parameters")) == (200, None)
    assert openai.completions()[-1].body["temperature"] == 0.2


def test_a_bound_over_the_cap_is_lowered_for_a_model_that_reasons(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Both APIs lower it; for any other model it is refused before OpenAI is asked."""
    user = new_user(start_broker(MODELS=json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-4o-mini"})))
    calls = (
        ("/v1/chat/completions", "max_completion_tokens", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/responses", "max_output_tokens", {"input": "x"}),
    )
    for path, name, body in calls:
        openai.seen.clear()
        lowered = user.post(path, {**body, "model": "gpt-4o", name: 1_000_000})
        assert (lowered.status_code, openai.completions()[-1].body[name]) == (200, 16_384)
        refused = user.post(path, {**body, "model": "gpt-4o-mini", name: 1_000_000})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, name)
        assert "from 1 to 16384" in refused.json()["error"]["message"]
        assert len(openai.completions()) == 1


def test_function_tools_work_on_the_successor(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """It accepts them with effort `none` only; the answer names the change."""
    models = json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-6-luna"})
    user = new_user(start_broker(MODELS=models, WEB_CONCURRENCY="1"))
    tools = [{"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object"}}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "tools": tools, "max_tokens": 50}
    answer = user.post("/v1/chat/completions", body)
    assert (answer.status_code, answer.headers["X-Dropped-Parameters"]) == (200, "reasoning_effort=none")
    sent = openai.completions()[-1].body
    assert (sent["tools"], sent["reasoning_effort"], sent["max_completion_tokens"]) == (tools, "none", 50)
    function = {"type": "function", "name": "get_tide", "parameters": {"type": "object"}}
    response = user.post("/v1/responses", {"model": "gpt-4o", "input": "x", "tools": [function]})
    assert (response.status_code, response.headers.get("X-Dropped-Parameters")) == (200, None)  # it has no such limit


def test_a_refusal_of_stop_goes_to_the_client(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Without it the answer would be another one."""
    user = new_user(start_broker(MODELS=json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-6-luna"})))
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stop": ["\n"]}
    refused = user.post("/v1/chat/completions", body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stop")
    assert len(openai.completions()) == 1


def test_the_log_names_a_shutdown_date(start_broker: StartBroker) -> None:
    """It is logged at the start, for models that have one."""
    models = json.dumps({"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-6-luna"})
    broker = start_broker(MODELS=models, WEB_CONCURRENCY="1")
    event = "OpenAI shuts this model down: set MODELS in time"
    within(5, lambda: broker.log_lines(event))
    assert [(line["model"], line["shutdown_date"]) for line in broker.log_lines(event)] == [("gpt-4o", "2027-01-14")]
