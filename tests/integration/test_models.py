"""The endpoints outlive the models."""

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
    """With what it needs; clients go on naming the old models."""
    models = json.dumps({"gpt-4o": SUCCESSOR, "gpt-4o-mini": SUCCESSOR})
    user = new_user(start_broker(MODELS=models))
    assert user.post("/gpt-4o", {"messages": "x", "temperature": 0.3}).json() == {"message": ANSWER}
    assert user.stream(model="gpt-4o-mini").status_code == 200
    for seen in openai.completions():
        assert (seen.model, seen.body["reasoning_effort"]) == ("gpt-6-luna", "none")


def test_a_model_that_refuses_the_temperature_is_asked_without(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """At once, for plain calls and streams; remembered; one line in the log."""
    models = json.dumps({"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "o-strict"})
    broker = start_broker(MODELS=models, WEB_CONCURRENCY="1")
    user = new_user(broker)
    for _ in range(3):
        assert user.post("/gpt-4o", {"messages": "x"}).json() == {"message": ANSWER}
        assert user.stream(model="gpt-4o-mini").status_code == 200
    asked = [(seen.model, "temperature" in seen.body) for seen in openai.completions()]
    assert asked.count(("gpt-6-luna", True)) == asked.count(("o-strict", True)) == 1
    assert asked.count(("gpt-6-luna", False)) == asked.count(("o-strict", False)) == 3
    lines = broker.log_lines("model refuses 'temperature'; it is left out from now on")
    assert [line["model"] for line in lines] == ["gpt-6-luna", "o-strict"]


def test_the_log_says_when_a_model_has_a_last_day(start_broker: StartBroker) -> None:
    """At start; a model without one is not spoken of."""
    models = json.dumps({"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-6-luna"})
    broker = start_broker(MODELS=models, WEB_CONCURRENCY="1")
    event = "OpenAI shuts this model down: set MODELS in time"
    within(5, lambda: broker.log_lines(event))
    assert [(line["model"], line["shutdown_date"]) for line in broker.log_lines(event)] == [("gpt-4o", "2027-01-14")]
