"""Errors as the users of a client see them: the broker's sentence, and the number of requests to OpenAI."""

from collections.abc import Callable

import pytest

from tests.clients.cases import CLIENTS, Client
from tests.clients.conftest import Outcome

OutcomeOf = Callable[[str, str, str], Outcome]
every_client = pytest.mark.parametrize(
    ("client", "api"),
    [pytest.param(client, api, id=f"{client.name}-{api}") for client in CLIENTS for api in client.apis],
)


@every_client
@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("no version", "The base URL must end in /v1"),
        ("expired", "The Supabase access token has expired"),
        ("over the limit", "The daily limit of 1 calls is used up; it resets at 20"),
        ("unknown model", "The model 'gpt-3' does not exist here; there are gpt-4o, gpt-4o-mini"),
    ],
)
def test_a_refusal_is_shown_in_the_brokers_words(
    outcome_of: OutcomeOf, client: Client, api: str, case: str, sentence: str
) -> None:
    """No request reaches OpenAI."""
    outcome = outcome_of(client.name, api, case)
    assert outcome.error
    assert sentence in outcome.error["message"].replace("\\'", "'")
    assert outcome.requests == []


@every_client
@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("busy", "OpenAI is receiving too many requests from this broker"),
        ("failing", "OpenAI could not answer"),
        ("failing stream", "OpenAI could not answer"),
    ],
)
def test_a_failure_of_openai_is_shown_in_the_brokers_words(
    outcome_of: OutcomeOf, client: Client, api: str, case: str, sentence: str
) -> None:
    """The client retries by itself; the broker asks OpenAI once for each attempt."""
    outcome = outcome_of(client.name, api, case)
    assert outcome.error
    assert sentence in outcome.error["message"]
    assert len(outcome.requests) == client.tries


@every_client
def test_a_quota_that_is_used_up_is_shown_in_the_brokers_words(outcome_of: OutcomeOf, client: Client, api: str) -> None:
    """The error names nothing of the operator's account."""
    outcome = outcome_of(client.name, api, "out of quota")
    assert outcome.error
    assert "no quota left" in outcome.error["message"]
    assert "billing" not in outcome.error["message"]
    assert len(outcome.requests) == client.tries_out_of_quota
