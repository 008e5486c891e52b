"""The span of a call: the facts of its log line under OpenTelemetry's names."""

import pytest
import responses

from broker.telemetry.spans import Span
from broker.web.services import EXTENSION, Services
from tests.apps import OPENAI, bearer, make_app, make_client
from tests.recorded import named

URL = OPENAI + "/chat/completions"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """The spans that are queued from now on."""
    found: list[Span] = []
    monkeypatch.setattr("broker.telemetry.span_exporter.SpanExporter.add", lambda _, span: found.append(span))
    return found


@responses.activate
def test_a_call_has_one_span_with_its_tokens_and_its_end(spans: list[Span]) -> None:
    """A failure has its code; a request that reaches no model is no span."""
    client = make_client(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.invalid")
    responses.post(URL, body=named("answer_plain").body)
    headers = bearer("user-of-the-test") | {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    client.post("/gpt-4o", json={"messages": "planted"}, headers=headers)
    client.post("/gpt-4o", json={}, headers=headers)
    client.get("/v1/usage", headers=headers)
    responses.reset()
    responses.post(URL, status=500)
    client.post(
        "/v1/chat/completions",
        json={"model": "gpt-4o", "messages": [{"role": "user", "content": "planted"}]},
        headers=headers,
    )
    good, failed = spans
    assert (good.parent.trace_id, good.parent.span_id, good.name, good.error) == (TRACE, SPAN, "chat gpt-4o", "")
    assert good.attributes["http.response.status_code"] == 200
    assert isinstance(good.attributes["gen_ai.usage.output_tokens"], int)
    assert (failed.error, failed.attributes["gen_ai.usage.output_tokens"]) == ("openai_failed", None)
    assert "planted" not in str(spans)
    assert "user-of" not in str(spans)


def test_without_an_endpoint_there_is_no_exporter() -> None:
    """The default costs one comparison a request."""
    services: Services = make_app().extensions[EXTENSION]
    assert services.spans is None
