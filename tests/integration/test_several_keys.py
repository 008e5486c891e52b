"""Several OpenAI keys of different projects: a continued response uses the key that made it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from deploy.local.openai_api import OpenAIStandIn
from deploy.local.responses_api import StoredResponses
from tests.authority import authority
from tests.integration.conftest import StartBroker, User
from tests.integration.test_responses import NewUser, begin, create, error, uses

SECOND = "sk-second-0123456789abcdef"
PAUSE = 1  # second for which the first key is set aside


@pytest.fixture
def both(openai: OpenAIStandIn) -> Iterator[str]:
    """OPENAI_API_KEY with the keys of two projects, each with a memory of its own."""
    openai.other_accounts[SECOND] = StoredResponses()
    yield f"{openai.key},{SECOND}"
    openai.other_accounts.clear()


def holds(openai: OpenAIStandIn, key: str, response_id: str) -> bool:
    """Whether OpenAI has the response in this key's project."""
    url, headers = f"{openai.url}/v1/responses/{response_id}", {"Authorization": f"Bearer {key}"}
    return requests.get(url, headers=headers, timeout=5, verify=authority().file).status_code == 200


def begin_with_the_second_key(user: User, openai: OpenAIStandIn, **members: object) -> dict[str, Any]:
    """A response that is made while OpenAI limits the first key. Returns once the first key is usable again."""
    openai.next("rate_limited", **{"retry-after": PAUSE})
    response = begin(user, **members)
    assert (holds(openai, SECOND, response["id"]), holds(openai, openai.key, response["id"])) == (True, False)
    time.sleep(PAUSE + 0.1)
    return response


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_is_continued_with_the_key_that_made_it(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str, *, is_stream: bool
) -> None:
    """Ids, references and items use that key, streamed or not, and so do the following responses."""
    user = new_user(start_broker(OPENAI_API_KEY=both, WEB_CONCURRENCY="1"))
    first = begin_with_the_second_key(user, openai, stream=is_stream)
    assert holds(openai, openai.key, begin(user)["id"])  # a new response uses the first key
    reference = [{"type": "item_reference", "id": first["output"][0]["id"]}, {"role": "user", "content": "go on"}]
    followers = [begin(user, previous_response_id=first["id"], stream=is_stream) for _ in range(2)]
    followers.append(begin(user, previous_response_id=followers[-1]["id"]))
    followers.append(begin(user, input=reference, stream=is_stream))
    assert {holds(openai, SECOND, one["id"]) for one in followers} == {True}
    assert {answer.status_code for answer in uses(user, followers[-1])} == {200, 400, 404}  # the third use deletes it


def test_a_response_is_read_and_deleted_with_the_key_that_made_it(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str
) -> None:
    """Every worker uses that key for its input items as well."""
    user = new_user(start_broker(OPENAI_API_KEY=both, WEB_CONCURRENCY="2"))
    response = begin_with_the_second_key(user, openai)
    for _ in range(6):
        assert user.get(f"/v1/responses/{response['id']}").json()["id"] == response["id"]
    listed = user.get(f"/v1/responses/{response['id']}/input_items").json()
    assert user.get(f"/v1/responses/{response['id']}/input_items?after={listed['last_id']}").status_code == 200
    assert user.call("DELETE", f"/v1/responses/{response['id']}").json()["deleted"] is True
    assert not holds(openai, SECOND, response["id"])


def test_no_other_key_is_asked_for_it(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str
) -> None:
    """The client has to wait while OpenAI limits the key; another key would not find the response."""
    user = new_user(start_broker(OPENAI_API_KEY=both, WEB_CONCURRENCY="1"))
    response = begin_with_the_second_key(user, openai)
    before = len(openai.completions())
    openai.next("rate_limited", **{"retry-after": PAUSE})
    limited = create(user, previous_response_id=response["id"])
    assert (limited.status_code, error(limited)["code"]) == (503, "openai_rate_limited")
    assert len(openai.completions()) == before + 1
    assert create(user, previous_response_id=response["id"]).status_code == 200


def test_the_order_of_the_keys_does_not_matter(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str
) -> None:
    """A broker with another order of the keys uses the right one, too."""
    first = start_broker(OPENAI_API_KEY=both)
    user = new_user(first)
    response = begin(user)
    first.end()
    again = User(user.id, start_broker(OPENAI_API_KEY=f"{SECOND},{openai.key}").url, user.token)
    assert begin(again, previous_response_id=response["id"])["previous_response_id"] == response["id"]


def test_without_its_key_the_response_has_openais_own_404(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str
) -> None:
    """The first usable key is used."""
    first = start_broker(OPENAI_API_KEY=both, WEB_CONCURRENCY="1")
    user = new_user(first)
    response = begin_with_the_second_key(user, openai)
    first.end()
    again = User(user.id, start_broker(OPENAI_API_KEY=openai.key).url, user.token)
    stored, expected = f"/v1/responses/{response['id']}", f"Response with id '{response['id']}' not found."
    before = len(openai.seen)
    for answer in (again.get(stored), again.call("DELETE", stored)):
        assert (answer.status_code, error(answer)["message"]) == (404, expected)
    assert error(create(again, previous_response_id=response["id"]))["code"] == "previous_response_not_found"
    item = {"type": "item_reference", "id": response["output"][0]["id"]}
    assert create(again, input=[item]).status_code == 404
    assert len(openai.seen) >= before + 4


def test_neither_key_nor_content_is_remembered(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, both: str, redis_server: Any
) -> None:
    """Redis holds ids and a fingerprint."""
    user = new_user(start_broker(OPENAI_API_KEY=both))
    begin(user, input="a planted prompt")
    client = redis_server.client
    held = b" ".join(client.dump(key) for key in client.scan_iter(match=f"*{user.id}*"))
    assert b"resp_" in held
    assert not [one for one in (openai.key, SECOND, "planted", openai.answer[:20]) if one.encode() in held]
