"""OpenTelemetry through the real program: one span a call at a collector, joined to the caller's trace."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.conftest import StartBroker
from tests.integration.ledger import name_of, scrape
from tests.integration.waiting import within
from tests.unit.telemetry.test_span_exporter import Collector, collector

__all__ = ["collector"]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROMPT = "planted-prompt"
V1 = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}


def spans_of(server: Collector) -> list[dict[str, Any]]:
    found = [span for body in server.bodies for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    return sorted(found, key=lambda span: int(span["startTimeUnixNano"]))


def attributes_of(span: dict[str, Any]) -> dict[str, str]:
    return {one["key"]: str(next(iter(one["value"].values()))) for one in span["attributes"]}


def test_each_call_is_a_span_in_the_caller_s_trace(
    start_broker: StartBroker, new_user: Any, openai: Any, collector: Collector
) -> None:
    """Streams too, with GenAI names; no prompt, answer, token or user. Other requests are no spans."""
    broker = start_broker(
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_HEADERS="x-key=planted%20key", DAILY_LIMIT="4",
        OTEL_SERVICE_NAME="broker-of-a-test", WEB_CONCURRENCY="1",
    )  # fmt: skip
    user = new_user(broker)
    joined = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    user.post("/v1/chat/completions", V1, headers=joined)
    assert user.post("/stream", {"messages": PROMPT, "model": "gpt-4o"}, headers=joined).content
    user.post("/gpt-4o", {"messages": PROMPT})
    openai.next("500_server_error", times=3)
    user.post("/gpt-4o", {"messages": PROMPT}, headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})
    user.get("/v1/usage", headers=joined)
    within(10, lambda: len(spans_of(collector)) >= 3)
    time.sleep(0.2)
    whole, stream, alone = spans_of(collector)
    assert {span["traceId"] for span in (whole, stream)} == {TRACE}
    assert {span["parentSpanId"] for span in (whole, stream)} == {SPAN}
    assert alone["traceId"] != TRACE
    seen = attributes_of(whole)
    assert whole["name"] == "chat gpt-4o-mini"
    assert (seen["gen_ai.operation.name"], seen["gen_ai.provider.name"]) == ("chat", "openai")
    assert (seen["gen_ai.request.model"], seen["http.route"]) == ("gpt-4o-mini", "/v1/chat/completions")
    assert int(seen["gen_ai.usage.input_tokens"]) > 0
    assert int(seen["gen_ai.usage.output_tokens"]) > 0
    assert (attributes_of(stream)["gpt_broker.stream"], attributes_of(alone)["gpt_broker.stream"]) == ("True", "False")
    sent = json.dumps(collector.bodies)
    assert "broker-of-a-test" in sent
    assert {head["x-key"] for _, head in collector.heads} == {"planted key"}
    for secret in (PROMPT, openai.answer, user.token, user.id, openai.key):
        assert secret not in sent
    within(3, lambda: scrape(broker)[name_of("gpt_broker_spans_total", outcome="sent")] == 3)
    user.post("/gpt-4o", {"messages": "x"})
    broker.stop()
    assert len(spans_of(collector)) == 4


@pytest.fixture
def silent_collector() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.listen(9)  # the kernel accepts connections
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_no_call_waits_for_a_collector_that_is_silent(
    start_broker: StartBroker, new_user: Any, openai: Any, silent_collector: str
) -> None:
    broker = start_broker(OTEL_EXPORTER_OTLP_ENDPOINT=silent_collector, WEB_CONCURRENCY="1")
    user = new_user(broker)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        began = time.monotonic()
        assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
        assert time.monotonic() - began < 2
        time.sleep(0.2)
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 5
