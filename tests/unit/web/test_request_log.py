"""Each request has one log line and one count, at its last byte."""

import logging
from typing import Any

import jwt
import pytest
import responses
from flask.testing import FlaskClient

from broker.web.endpoints import playground
from broker.web.services import EXTENSION
from tests.apps import OPENAI, bearer, make_client, token
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
def test_a_line_has_user_endpoint_and_outcome(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """OpenAI's request id is beside the broker's."""
    responses.post(URL, body=named("answer_plain").body, headers={"x-request-id": "req_1"})
    client.post("/gpt-4o", json={"messages": "hi"}, headers=bearer("ada") | {"X-Request-Id": "mine-1"})
    line = only(caplog)
    assert (line["request_id"], line["openai_id"], line["user"]) == ("mine-1", "req_1", "ada")
    assert (line["endpoint"], line["method"], line["status"]) == ("/gpt-4o", "POST", 200)
    assert (line["model"], line["outcome"]) == ("gpt-4o", "answered")
    assert line["prompt_tokens"] > 0
    assert line["completion_tokens"] > 0


def test_the_line_of_a_refusal_has_its_code(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets the same code."""
    client.post("/gpt-4o", data="{}", headers=bearer("ada"))
    assert (only(caplog)["outcome"], only(caplog)["status"]) == ("messages_required", 400)


def unsigned() -> str:
    return jwt.encode(jwt.decode(token(), options={"verify_signature": False}), "", "none")


def test_a_401_tells_its_reason_to_the_operator_only(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets the contract's words; the metric has one series a reason."""
    attempts: list[tuple[str, dict[str, str]]] = [
        ("no_header", {}),
        ("not_bearer", {"Authorization": "Basic planted"}),
        ("openai_key", {"Authorization": "Bearer sk-planted"}),
        ("supabase_key", {"Authorization": "Bearer sb_publishable_planted"}),
        ("not_a_jwt", {"Authorization": "Bearer planted"}),
        ("wrong_issuer", bearer(iss="https://planted")),
        ("wrong_algorithm", {"Authorization": "Bearer " + unsigned()}),
        ("bad_signature", {"Authorization": bearer()["Authorization"][:-20] + "A" * 20}),
        ("expired", bearer(exp=1)),
    ]
    answers = [client.post("/gpt-4o", json={}, headers=headers) for _, headers in attempts]
    assert [line["reason"] for line in lines(caplog)] == [reason for reason, _ in attempts]
    invalid = {answer.get_data() for answer in answers[1:-1]}
    assert len(invalid) == 1
    assert "planted" not in str(lines(caplog))
    text = client.get("/metrics").text
    assert all(f'gpt_broker_sign_in_refusals_total{{reason="{reason}"}} 1.0' in text for reason, _ in attempts)
    client.post("/gpt-4o", json={}, headers=bearer())
    assert "reason" not in lines(caplog)[-1]


def test_an_unknown_path_is_not_repeated(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """It may hold anything, and as a label it would be unbounded."""
    client.get("/planted/path?prompt=planted")
    assert only(caplog)["endpoint"] == "unmatched"
    assert "planted" not in str(only(caplog))
    assert 'endpoint="unmatched"' in client.get("/metrics").text
    assert "planted" not in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_probes_are_not_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture, path: str) -> None:
    """They would hide the other lines."""
    client.get(path)
    assert lines(caplog) == []


def test_every_request_is_counted_but_metrics(client: FlaskClient) -> None:
    """The counter has the contract's name."""
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
def test_a_stream_is_logged_at_its_end(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """The line has the tokens, which come last."""
    responses.post(URL, body=named("stream_usage").body)
    response = client.post("/stream", json={"messages": "hi", "model": "gpt-4o"}, headers=bearer("ada"), buffered=False)
    assert lines(caplog) == []
    assert response.data
    response.close()
    assert only(caplog)["outcome"] == "answered"
    assert only(caplog)["completion_tokens"] > 0


@responses.activate
def test_an_abandoned_stream_is_settled(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """It is no longer in flight, and counts because OpenAI has answered."""
    responses.post(URL, body=named("stream_usage").body)
    response = client.post("/stream", json={"messages": "hi", "model": "gpt-4o"}, headers=bearer("ada"), buffered=False)
    assert "gpt_broker_streams_in_flight 1.0" in client.get("/metrics").text
    response.close()
    assert only(caplog)["outcome"] == "client_left"
    client.application.extensions[EXTENSION].quota.close()  # the counters follow Redis
    text = client.get("/metrics").text
    assert "gpt_broker_streams_in_flight 0.0" in text
    assert "gpt_broker_calls_settled_total 1.0" in text


@pytest.mark.parametrize(("given", "kept"), [("a-1_b.c:D", True), ("x" * 128, True), ("x" * 129, False), ("a b", False),
                                             ("", False), ("ü", False)])  # fmt: skip
def test_a_well_formed_request_id_is_kept(client: FlaskClient, given: str, kept: bool) -> None:
    """Any other could forge log lines."""
    answered = client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"]
    assert (answered == given) is kept
    assert kept or len(answered) == 32


def test_the_files_of_the_playground_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The web server could pass files through without closing the response, which is what logs it."""
    client = make_client(PLAYGROUND="on")
    names = ["index.html", *sorted(path.name for path in playground.PAGE.iterdir() if path.name != "index.html")]
    paths = ["/", *(f"/playground/{name}" for name in names)]
    assert [client.get(path).status_code for path in paths] == [200] * len(paths)
    assert len(lines(caplog)) == len(paths)
    metrics = client.application.extensions[EXTENSION].metrics
    text, _ = metrics.exposition(None)
    counted = 'gpt_broker_requests_total{endpoint="/playground/<name>",method="GET",status_code="200"}'
    assert f"{counted} {len(names)}.0" in str(text.decode() if isinstance(text, bytes) else text)
