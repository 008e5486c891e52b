"""The common uses of a client: a whole answer, a stream, tools over several turns, structured output, an abort."""

from collections.abc import Callable

import pytest

from deploy.local.openai_api import ANSWER
from tests.clients.cases import CLIENTS
from tests.clients.conftest import Outcome

OutcomeOf = Callable[[str, str, str], Outcome]
HIGH_WATER = "The tools say: high water in Brest at 12:34 high water in Brest at 12:34"
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
every_client = pytest.mark.parametrize(
    ("client", "api"), [(client.name, api) for client in CLIENTS for api in client.apis]
)
every_client_that_aborts = pytest.mark.parametrize(
    ("client", "api"), [(client.name, api) for client in CLIENTS for api in client.apis if client.can_abort]
)


@every_client
def test_it_gets_a_whole_answer(outcome_of: OutcomeOf, client: str, api: str) -> None:
    """One request reaches OpenAI, on the API that the client chose."""
    outcome = outcome_of(client, api, "answer")
    assert (outcome.error, outcome.value) == (None, ANSWER)
    assert [seen.path for seen in outcome.requests] == [PATHS[api]]


@every_client
def test_it_streams_an_answer(outcome_of: OutcomeOf, client: str, api: str) -> None:
    """The answer has many pieces, which add up to the whole."""
    outcome = outcome_of(client, api, "stream")
    assert outcome.error is None
    assert "".join(outcome.value) == ANSWER
    assert len(outcome.value) > 10
    assert [seen.body["stream"] for seen in outcome.requests] == [True]


@every_client
def test_it_calls_tools_over_three_turns_and_goes_on(outcome_of: OutcomeOf, client: str, api: str) -> None:
    """Two tool calls and an answer are followed by another question in the same conversation."""
    outcome = outcome_of(client, api, "tools")
    assert outcome.error is None
    assert outcome.value["calls"] == [{"place": "Brest"}] * 2
    assert outcome.value["texts"] == [HIGH_WATER, ANSWER]
    assert len(outcome.requests) == 4


@every_client
def test_it_gets_structured_output(outcome_of: OutcomeOf, client: str, api: str) -> None:
    """The value matches the developer's schema."""
    outcome = outcome_of(client, api, "structured")
    assert (outcome.error, outcome.value) == (None, {"place": "Brest", "metres": 4.5})


@every_client_that_aborts
def test_its_abort_ends_the_request_at_openai(outcome_of: OutcomeOf, client: str, api: str) -> None:
    """The request ends within a second, while OpenAI is silent."""
    outcome = outcome_of(client, api, "abort")
    assert outcome.error is None
    (request,) = outcome.requests
    assert request.end == "peer left"
    assert request.ended
    assert request.ended - outcome.value["at"] < 1
