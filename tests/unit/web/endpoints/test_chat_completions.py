"""`POST /v1/chat/completions`: OpenAI's bytes, and the calls that count."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.apps import OPENAI, bearer, make_client
from tests.recorded import RecordedReply, named, whole_answers

URL = OPENAI + "/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
ADA = bearer("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def openai() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


def create(client: FlaskClient, **members: Any) -> TestResponse:
    return client.post("/v1/chat/completions", json={"model": "gpt-4o", "messages": HELLO, **members}, headers=ADA)


def asked(openai: responses.RequestsMock) -> dict[str, Any]:
    return dict(json.loads(openai.calls[-1].request.body or b""))


def used(client: FlaskClient) -> int:
    return int(client.get("/v1/usage", headers=ADA).get_json()["used"])


@pytest.mark.parametrize("reply", whole_answers(), ids=lambda reply: reply.name)
def test_a_whole_answer_is_passed_on_as_it_is(
    client: FlaskClient, openai: responses.RequestsMock, reply: RecordedReply
) -> None:
    """Every byte is kept, with tool calls, refusal and usage. The call counts."""
    openai.post(URL, body=reply.body)
    answer = create(client)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "application/json", reply.body)
    assert answer.headers["RateLimit"].startswith('"daily";r=49;')
    assert used(client) == 1


def test_the_request_to_openai(client: FlaskClient, openai: responses.RequestsMock) -> None:
    """The request gets a bound and a pseudonym, and a stream asks for its usage."""
    openai.post(URL, body=named("answer_plain").body)
    create(client, temperature=1.5, max_tokens=9)
    plain = asked(openai)
    assert len(plain.pop("safety_identifier")) == 64
    assert plain == {"model": "gpt-4o", "messages": HELLO, "temperature": 1.5, "max_completion_tokens": 9}
    openai.post(URL, body=named("stream_usage").body)
    assert create(client, stream=True, stream_options={"include_obfuscation": False}).data
    streamed = asked(openai)
    assert (streamed["stream"], streamed["max_completion_tokens"]) == (True, 16_384)
    assert streamed["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_a_model_that_refuses_the_temperature_is_asked_without(
    client: FlaskClient, openai: responses.RequestsMock
) -> None:
    """It works as on the other endpoints, and the answer names the parameter."""
    openai.post(URL, status=400, body=named("400_temperature_unsupported").body)
    openai.post(URL, body=named("answer_plain").body)
    answer = create(client, temperature=0.2)
    assert (answer.status_code, answer.headers["X-Dropped-Parameters"]) == (200, "temperature")
    assert "X-Dropped-Parameters" in answer.headers["Access-Control-Expose-Headers"]
    assert "temperature" not in asked(openai)


def test_a_refused_request_is_not_sent(client: FlaskClient, openai: responses.RequestsMock) -> None:
    """It costs nothing."""
    assert create(client, n=2).status_code == 400
    assert create(client, model="gpt-3").status_code == 404
    assert create(client, max_completion_tokens=16_385).status_code == 400
    assert len(openai.calls) == 0
    assert used(client) == 0


def test_the_caps_hold_here_too(openai: responses.RequestsMock) -> None:
    """The error has the format that OpenAI's SDKs read."""
    refused = create(make_client(MAX_MESSAGES="2"), messages=HELLO * 3)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (400, "too_many_messages")


def test_an_invalid_answer_costs_nothing(client: FlaskClient, openai: responses.RequestsMock) -> None:
    """The client gets a 502 without any of it."""
    openai.post(URL, body=b'{"object": "planted"}')
    answer = create(client)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (502, "openai_answer_invalid")
    assert b"planted" not in answer.data
    assert used(client) == 0


def test_a_stream_that_is_not_read_to_its_end_is_settled(openai: responses.RequestsMock) -> None:
    """OpenAI had begun to answer."""
    client = make_client()
    openai.post(URL, body=named("stream_usage").body)
    body = {"model": "gpt-4o", "messages": HELLO, "stream": True}
    answer = client.open("/v1/chat/completions", method="POST", json=body, headers=ADA, buffered=False)
    answer.close()
    assert used(client) == 1
