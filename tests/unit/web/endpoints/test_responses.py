"""`/v1/responses`: OpenAI's bytes, the calls that count, and the caller's own stored responses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.errors.last_lines import event
from tests.apps import OPENAI, bearer, make_client
from tests.recorded import RecordedReply, response_named, whole_responses

URL = OPENAI + "/responses"
ID, JSON = re.compile(rb"(?:resp|msg)_\w+"), "application/json"
ADA = bearer("11111111-1111-4111-8111-111111111111")
WHOLE = [
    reply for reply in whole_responses() if b'"object": "response"' in reply.body and b'"queued"' not in reply.body
]


@pytest.fixture
def openai() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


def create(client: FlaskClient, **members: Any) -> TestResponse:
    return client.post("/v1/responses", json={"model": "gpt-4o", "input": "hello", **members}, headers=ADA)


def asked(openai: responses.RequestsMock) -> dict[str, Any]:
    return dict(json.loads(openai.calls[-1].request.body or b""))


def used(client: FlaskClient) -> int:
    return int(client.get("/v1/usage", headers=ADA).get_json()["used"])


@pytest.mark.parametrize("reply", WHOLE, ids=lambda reply: reply.name)
def test_a_whole_answer_is_passed_on_unchanged(
    client: FlaskClient, openai: responses.RequestsMock, reply: RecordedReply
) -> None:
    """Every byte is kept. The call counts, and the response belongs to the caller."""
    openai.post(URL, body=reply.body)
    answer = create(client)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/json", reply.body)
    assert answer.headers["RateLimit"].startswith('"daily";r=49;')
    assert used(client) == 1
    stored = answer.get_json()["id"]
    openai.get(f"{URL}/{stored}", body=reply.body)
    assert client.get(f"/v1/responses/{stored}?include=reasoning.encrypted_content", headers=ADA).data == reply.body
    assert used(client) == 1


def test_the_request_to_openai_for_a_response(client: FlaskClient, openai: responses.RequestsMock) -> None:
    """The request gets a bound and the user's pseudonym, and no other name of the user."""
    openai.post(URL, body=response_named("response_text").body)
    create(client, temperature=1.5, user="me", store=None, metadata={"a": "b"})
    sent = asked(openai)
    assert len(sent.pop("safety_identifier")) == 64
    assert sent == {
        "model": "gpt-4o", "input": "hello", "temperature": 1.5, "max_output_tokens": 16_384, "metadata": {"a": "b"},
    }  # fmt: skip
    create(client, max_output_tokens=20)
    assert asked(openai)["max_output_tokens"] == 20


def test_the_models_patch_reaches_responses_in_its_own_spelling(openai: responses.RequestsMock) -> None:
    """One MODELS line serves both APIs."""
    patch = {
        "model": "gpt-6-luna",
        "reasoning_effort": "none",
        "verbosity": "low",
        "max_completion_tokens": 50,
        "stop": "x",
    }
    models = json.dumps({"gpt-4o": patch, "gpt-4o-mini": "gpt-4o-mini"})
    openai.post(URL, body=response_named("response_text").body)
    create(make_client(MODELS=models), reasoning={"summary": "auto"}, text={"format": {"type": "text"}})
    sent = asked(openai)
    assert (sent["model"], sent["max_output_tokens"]) == ("gpt-6-luna", 50)
    assert sent["reasoning"] == {"summary": "auto", "effort": "none"}
    assert sent["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert {"reasoning_effort", "verbosity", "max_completion_tokens", "stop"}.isdisjoint(sent)


def test_a_sampling_parameter_that_the_model_refuses_is_left_out(
    client: FlaskClient, openai: responses.RequestsMock
) -> None:
    """OpenAI is asked again at once; its refusal here has a null code."""
    refusal = {"message": "Unsupported parameter: 'temperature' is not supported with this model.",
               "type": "invalid_request_error", "param": "temperature", "code": None}  # fmt: skip
    openai.post(URL, status=400, json={"error": refusal})
    openai.post(URL, body=response_named("response_text").body)
    assert create(client, temperature=0.2).status_code == 200
    assert "temperature" not in asked(openai)


def test_a_refused_request_for_a_response_is_not_sent(client: FlaskClient, openai: responses.RequestsMock) -> None:
    """It costs nothing."""
    for members in (
        {"background": True},
        {"model": "gpt-3"},
        {"tools": [{"type": "web_search"}]},
        {"previous_response_id": "resp_1"},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ):
        assert create(client, **members).status_code in (400, 404)
    assert len(openai.calls) == 0
    assert used(client) == 0


@pytest.mark.parametrize("members", [
    {"input": "x" * 101}, {"instructions": "x" * 101},
    {"tools": [{"type": "function", "name": "f", "description": "x" * 101}]},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 101}]}]},
    {"input": [{"type": "function_call_output", "call_id": "c", "output": "x" * 101}]},
    {"text": {"format": {"type": "json_schema", "name": "f", "schema": {"description": "x" * 101}}}},
])  # fmt: skip
def test_every_part_that_openai_bills_counts_towards_the_cap(
    openai: responses.RequestsMock, members: dict[str, Any]
) -> None:
    """Input, instructions, tools and schemas count; the address of an image does not."""
    client = make_client(MAX_PROMPT_CHARACTERS="100")
    assert create(client, **members).get_json()["error"]["code"] == "prompt_too_long"
    openai.post(URL, body=response_named("response_text").body)
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 200}
    assert create(client, input=[{"role": "user", "content": [image]}]).status_code == 200


def test_too_many_items_are_refused(openai: responses.RequestsMock) -> None:
    """MAX_MESSAGES counts input items."""
    refused = create(make_client(MAX_MESSAGES="2"), input=[{"role": "user", "content": "x"}] * 3)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "too_many_messages")


def test_storing_may_be_refused(openai: responses.RequestsMock) -> None:
    """RESPONSES_STORE=refuse gives a 400 with the option of each SDK, unless the request says `store: false`."""
    client = make_client(RESPONSES_STORE="refuse")
    refused = create(client)
    assert (refused.status_code, refused.get_json()["error"]["param"]) == (400, "store")
    openai.post(URL, body=response_named("response_text").body)
    assert create(client, store=False).status_code == 200
    assert asked(openai)["store"] is False


def test_hosted_tools_may_be_offered(openai: responses.RequestsMock) -> None:
    """HOSTED_TOOLS lists them."""
    openai.post(URL, body=response_named("response_text").body)
    assert create(make_client(HOSTED_TOOLS="web_search"), tools=[{"type": "web_search"}]).status_code == 200


@pytest.mark.parametrize(("error", "status", "code"), [
    ({"code": "rate_limit_exceeded", "message": "in organization org-PLANTED12345"}, 503, "openai_rate_limited"),
    ({"code": "server_error", "message": "org-PLANTED12345"}, 502, "openai_failed"),
    ({"code": "invalid_prompt", "message": "flagged: org-PLANTED12345"}, 400, None),
])  # fmt: skip
def test_a_failed_response_is_an_error_without_the_account(
    client: FlaskClient, openai: responses.RequestsMock, error: dict[str, str], status: int, code: str | None
) -> None:
    """OpenAI sends it with status 200. It costs nothing."""
    failed = {**json.loads(response_named("response_text").body), "status": "failed", "error": error}
    openai.post(URL, json=failed)
    answer = create(client)
    assert answer.status_code == status
    assert code is None or answer.get_json()["error"]["code"] == code
    assert b"PLANTED" not in answer.data
    assert used(client) == 0


@pytest.mark.parametrize("body", [b"planted", b'{"object": "planted"}', b"[]", b'{"id": ["planted"]}'])
def test_an_answer_that_is_no_response_is_not_passed_on(
    client: FlaskClient, openai: responses.RequestsMock, body: bytes
) -> None:
    """The client gets a 502, and the call costs nothing."""
    openai.post(URL, body=body)
    answer = create(client)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (502, "openai_answer_invalid")
    assert b"planted" not in answer.data
    assert used(client) == 0


@pytest.fixture
def stored(client: FlaskClient, openai: responses.RequestsMock) -> str:
    """The id of a stored response of the user's."""
    openai.post(URL, body=response_named("response_text").body)
    return str(create(client).get_json()["id"])


def limited_client(tokens: str) -> FlaskClient:
    """A client of an app with DAILY_TOKENS. Users have places, so that a call is charged before its answer ends."""
    return make_client(DAILY_TOKENS=tokens, MIN_OUTPUT_TOKENS="20", MAX_CALLS_PER_USER="5")


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_tokens_of_a_continued_response_are_reserved(openai: responses.RequestsMock, *, is_stream: bool) -> None:
    """OpenAI bills them again. The remainder suffices for a new response, and not for one more turn."""
    client = limited_client("100")
    name = "response_stream_text" if is_stream else "response_text"
    openai.post(URL, body=response_named(name).body, content_type="text/event-stream" if is_stream else JSON)
    ids = ID.findall(create(client, stream=is_stream).data)
    response_id, item_id = (one.decode() for one in sorted(set(ids))[::-1])
    assert client.get("/v1/usage", headers=ADA).get_json()["tokens"]["used"] == 42
    reference: list[object] = [{"type": "item_reference", "id": item_id}]
    for members in ({"previous_response_id": response_id}, {"input": reference}):
        refused = create(client, **members)
        assert (refused.status_code, refused.get_json()["error"]["code"]) == (429, "daily_tokens_exceeded")
    assert create(client, stream=is_stream).status_code == 200


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_without_usage_counts_as_estimated(openai: responses.RequestsMock, *, is_stream: bool) -> None:
    """A continuation takes at least what the response was charged."""
    client = limited_client("4000")
    whole = json.loads(response_named("response_text").body) | {"usage": None}
    created = {"type": "response.created", "response": whole | {"output": []}}
    delta = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "high water"}
    events = event("response.created", created) + event("response.output_text.delta", delta)
    openai.post(URL, body=events if is_stream else json.dumps(whole))
    create(client, stream=is_stream, input="x" * 6_000).get_data()
    assert 2_000 < client.get("/v1/usage", headers=ADA).get_json()["tokens"]["used"] < 2_100
    assert create(client, previous_response_id=whole["id"]).status_code == 429
    assert len(openai.calls) == 1


def test_a_response_that_openai_no_longer_has_is_a_404(
    client: FlaskClient, openai: responses.RequestsMock, stored: str
) -> None:
    """The 404 is OpenAI's own: the response has expired there, or `store` was false."""
    openai.get(f"{URL}/{stored}", status=404, body=response_named("404_response_not_found").body)
    answer = client.get(f"/v1/responses/{stored}", headers=ADA)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, None)
    openai.post(URL, status=404, body=response_named("404_item_not_found").body)
    assert create(client, input=[{"role": "user", "content": "x"}]).status_code == 404


def test_a_stored_failure_names_no_account(client: FlaskClient, openai: responses.RequestsMock, stored: str) -> None:
    """Its sentence is masked; the rest is as stored."""
    error = {"code": "rate_limit_exceeded", "message": "in organization org-PLANTED12345"}
    openai.get(f"{URL}/{stored}", json={"id": stored, "object": "response", "status": "failed", "error": error})
    answer = client.get(f"/v1/responses/{stored}", headers=ADA).get_json()
    assert (answer["status"], answer["error"]["code"]) == ("failed", "rate_limit_exceeded")
    assert "PLANTED" not in str(answer)


def test_listed_input_items_are_the_callers(client: FlaskClient, openai: responses.RequestsMock, stored: str) -> None:
    """Their ids may be used from then on; those of other users may not, in `after` either."""
    path = f"/v1/responses/{stored}/input_items"
    item = json.loads(response_named("response_input_items").body)["data"][0]["id"]
    assert client.get(f"{path}?after={item}", headers=ADA).status_code == 404
    openai.get(f"{URL}/{stored}/input_items", body=response_named("response_input_items").body)
    assert client.get(f"{path}?limit=2&order=asc", headers=ADA).status_code == 200
    assert client.get(f"{path}?after={item}", headers=ADA).status_code == 200
    assert openai.calls[-1].request.url == f"{URL}/{stored}/input_items?after={item}"


@pytest.mark.parametrize("query", ["stream=true", "starting_after=1", "foo=1", "include_obfuscation=true"])
def test_other_query_parameters_are_refused(client: FlaskClient, stored: str, query: str) -> None:
    """`stream` would replay a background response."""
    answer = client.get(f"/v1/responses/{stored}?{query}", headers=ADA)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (400, query.partition("=")[0])


def test_a_deletion_that_fails_can_be_repeated(
    client: FlaskClient, openai: responses.RequestsMock, stored: str
) -> None:
    """The ids are forgotten only after OpenAI has deleted the response."""
    openai.delete(f"{URL}/{stored}", status=500)
    openai.delete(f"{URL}/{stored}", body=response_named("response_deleted").body)
    assert client.delete(f"/v1/responses/{stored}", headers=ADA).status_code == 502
    assert client.delete(f"/v1/responses/{stored}", headers=ADA).status_code == 200
    assert client.delete(f"/v1/responses/{stored}", headers=ADA).status_code == 404
