"""One line and one count a request, when its last byte is gone."""

import logging
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from broker.web.services import EXTENSION
from tests.apps import OPENAI, bearer, make_client
from tests.recorded import named

URL = OPENAI + "/chat/completions"


@pytest.fixture
def client() -> FlaskClient:
    return make_client()


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "broker.request")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "broker.request"]


def only(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = lines(caplog)
    return line


@responses.activate
def test_a_line_tells_who_what_and_how_it_ended(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """With OpenAI's id beside ours."""
    responses.post(URL, body=named("answer_plain").body, headers={"x-request-id": "req_1"})
    client.post("/gpt-4o", json={"messages": "hi"}, headers=bearer("ada") | {"X-Request-Id": "mine-1"})
    line = only(caplog)
    assert (line["request_id"], line["openai_id"], line["user"]) == ("mine-1", "req_1", "ada")
    assert (line["endpoint"], line["method"], line["status"]) == ("/gpt-4o", "POST", 200)
    assert (line["model"], line["outcome"]) == ("gpt-4o", "answered")
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0


def test_a_refusal_tells_its_code(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """The word that the client gets."""
    client.post("/gpt-4o", data="{}", headers=bearer("ada"))
    assert (only(caplog)["outcome"], only(caplog)["status"]) == ("messages_required", 400)


def test_an_unknown_path_is_not_repeated(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """It may hold anything, and as a label it would have no end."""
    client.get("/planted/path?prompt=planted")
    assert only(caplog)["endpoint"] == "unmatched"
    assert "planted" not in str(only(caplog))
    assert 'endpoint="unmatched"' in client.get("/metrics").text
    assert "planted" not in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_what_is_asked_every_few_seconds_is_not_logged(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """Probes would bury the rest."""
    client.get(path)
    assert lines(caplog) == []


def test_every_request_is_counted_but_metrics(client: FlaskClient) -> None:
    """By the contract's counter."""
    client.get("/metrics")
    client.get("/health")
    client.options("/stream")
    client.open("/health", method="BREW")
    text = client.get("/metrics").text
    assert 'gpt_broker_requests_total{endpoint="/health",method="GET",status_code="200"} 1.0' in text
    assert 'gpt_broker_requests_total{endpoint="/stream",method="OPTIONS",status_code="204"} 1.0' in text
    assert 'method="other"' in text
    assert 'endpoint="/metrics"' not in text


@responses.activate
def test_a_stream_is_written_down_once_it_is_over(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """With its tokens, which come last."""
    responses.post(URL, body=named("stream_usage").body)
    response = client.post("/stream", json={"messages": "hi", "model": "gpt-4o"}, headers=bearer("ada"), buffered=False)
    assert lines(caplog) == []
    assert response.data
    response.close()
    assert only(caplog)["outcome"] == "answered"
    assert only(caplog)["completion_tokens"] > 0


@responses.activate
def test_a_stream_that_nobody_reads_on_is_left(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """No longer in flight, and settled, since OpenAI has answered."""
    responses.post(URL, body=named("stream_usage").body)
    response = client.post("/stream", json={"messages": "hi", "model": "gpt-4o"}, headers=bearer("ada"), buffered=False)
    assert "gpt_broker_streams_in_flight 1.0" in client.get("/metrics").text
    response.close()
    assert only(caplog)["outcome"] == "client_left"
    client.application.extensions[EXTENSION].quota.close()  # the counters follow what Redis has been told
    text = client.get("/metrics").text
    assert "gpt_broker_streams_in_flight 0.0" in text
    assert "gpt_broker_calls_settled_total 1.0" in text


@pytest.mark.parametrize(("given", "kept"), [("a-1_b.c:D", True), ("x" * 128, True), ("x" * 129, False), ("a b", False),
                                             ("", False), ("ü", False)])  # fmt: skip
def test_a_request_id_is_taken_where_it_is_well_formed(client: FlaskClient, given: str, kept: bool) -> None:
    """Else it could forge log lines."""
    answered = client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is kept
    assert kept or len(answered) == 32
