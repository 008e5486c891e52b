"""Spans reach the collector in batches, or are kept, or dropped and counted; calls never wait."""

import http.server
import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from broker.telemetry import span_exporter
from broker.telemetry.span_exporter import SpanExporter
from broker.telemetry.spans import Parent, Span


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it is sent, and answers with `status`."""

    status = 200

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.heads: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Collector

    def do_POST(self) -> None:
        self.server.heads.append((self.path, dict(self.headers)))
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Exporter(SpanExporter):
    """Counts what becomes of spans."""

    def __init__(self, endpoint: str) -> None:
        self.counts: Counter[str] = Counter()
        resource = {"service.name": "gpt-broker"}
        super().__init__(
            endpoint, {"X-Key": "planted"}, resource, lambda name, number: self.counts.update({name: number})
        )

    def add_some(self, number: int) -> None:
        for name in range(number):
            self.add(Span(Parent("a" * 32, ""), str(name), 0.1, {}))


def names(collector: Collector) -> list[list[str]]:
    """The names of the spans of each batch."""
    return [[span["name"] for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"]] for body in collector.bodies]


def test_spans_are_sent_in_batches(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the operator's header fields and the service's name."""
    monkeypatch.setattr(span_exporter, "BATCH", 2)
    exporter = Exporter(collector.url + "/base/")
    exporter.add_some(5)
    exporter.flush()
    assert names(collector) == [["0", "1"], ["2", "3"], ["4"]]
    path, head = collector.heads[0]
    assert (path, head["X-Key"], head["Content-Type"]) == ("/base/v1/traces", "planted", "application/json")
    resource = collector.bodies[0]["resourceSpans"][0]["resource"]
    assert resource == {"attributes": [{"key": "service.name", "value": {"stringValue": "gpt-broker"}}]}
    assert exporter.counts == {"sent": 5}


def test_a_span_whose_trace_is_not_sampled_is_not_sent(collector: Collector) -> None:
    """The caller decides for the whole trace."""
    exporter = Exporter(collector.url)
    exporter.add(Span(Parent("a" * 32, "b" * 16, is_sampled=False), "x", 0.1, {}))
    exporter.flush()
    assert collector.bodies == []


@pytest.mark.parametrize("status", [429, 503])
def test_spans_wait_for_a_busy_collector(collector: Collector, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """None is lost or sent twice; one log line says so, and one that it is over."""
    exporter, collector.status = Exporter(collector.url), status
    exporter.add_some(2)
    exporter.flush()
    exporter.flush()
    collector.status = 200
    exporter.add_some(1)
    exporter.flush()
    assert names(collector)[-1] == ["0", "1", "0"]
    assert exporter.counts == {"sent": 3}
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == ["the collector does not accept spans", "the collector accepts spans again"]


def test_a_collector_that_is_away_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that find the queue full are dropped and counted."""
    monkeypatch.setattr(span_exporter, "MOST", 3)
    exporter = Exporter("http://127.0.0.1:1")
    exporter.add_some(5)
    exporter.flush()
    assert exporter.counts == {"dropped": 2}
    assert len(exporter._queue) == 3


def test_what_the_collector_refuses_for_good_is_dropped(collector: Collector) -> None:
    """Sending it again would be refused again."""
    exporter, collector.status = Exporter(collector.url), 400
    exporter.add_some(2)
    exporter.flush()
    exporter.flush()
    assert len(collector.bodies) == 1
    assert exporter.counts == {"dropped": 2}


def test_two_flushes_at_once_send_each_span_once(collector: Collector) -> None:
    """A worker that stops flushes while its background task may be sending."""
    exporter = Exporter(collector.url)
    exporter.add_some(3)
    with exporter._sending:
        exporter.flush(within=0.01)
    assert collector.bodies == []
    exporter.close()
    assert names(collector) == [["0", "1", "2"]]
