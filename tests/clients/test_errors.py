"""Errors as the users of a client see them: the broker's own sentence, and no request to OpenAI that cannot help."""

from collections.abc import Callable

import pytest

from tests.clients.cases import CLIENTS
from tests.clients.conftest import Outcome

OutcomeOf = Callable[[str, str, str], Outcome]
every_client = pytest.mark.parametrize(
    ("client", "api"), [(client.name, api) for client in CLIENTS for api in client.apis]
)


@every_client
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("expired", "expired"),
        ("over the limit", "limit"),
        ("unknown model", "gpt-3"),
    ],
)
def test_a_refusal_is_shown_in_the_brokers_words(
    outcome_of: OutcomeOf, client: str, api: str, case: str, words: str
) -> None:
    """OpenAI is not asked."""
    outcome = outcome_of(client, api, case)
    assert outcome.error
    assert words in outcome.error["message"]
    assert outcome.requests == []


@every_client
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("busy", "too many requests"),
        ("failing", "OpenAI could not answer"),
        ("failing stream", "OpenAI could not answer"),
    ],
)
def test_a_failure_of_openai_is_shown_in_the_brokers_words(
    outcome_of: OutcomeOf, client: str, api: str, case: str, words: str
) -> None:
    """After the client's own tries."""
    outcome = outcome_of(client, api, case)
    assert outcome.error
    assert words in outcome.error["message"]
    assert outcome.requests
