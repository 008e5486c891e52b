"""Sends spans to an OpenTelemetry collector: OTLP over HTTP, in JSON.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. Calls never wait for it: spans are queued and sent in batches by a
background task. While the collector does not answer they stay in the queue. It is bounded: spans that find it full are
dropped and counted. The log has one line when the collector fails and one when it recovers.
"""

import http.client
import itertools
import json
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from gevent.lock import BoundedSemaphore

from broker.telemetry.background import Background
from broker.telemetry.spans import Span, encoded_attributes

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between batches, OpenTelemetry's default
BATCH = 512  # spans in a request, OpenTelemetry's default
MOST = 2048  # spans in the queue, OpenTelemetry's default
TIMEOUT = 10.0  # seconds for each step of a request, OTLP's default
LAST = 1.0  # the same when the worker stops
PATH = "/v1/traces"
RETRYABLE = frozenset({429, 502, 503, 504})  # https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes


class SpanExporter:
    """One per worker. Built before the fork; connects with the first batch."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], resource: dict[str, str], count: Callable[[str, int], object]
    ) -> None:
        """`endpoint`: the collector's base URL. `count` gets "sent" or "dropped" and a number of spans."""
        parts = urlsplit(endpoint)
        self._is_tls, self._host, self._port = parts.scheme == "https", str(parts.hostname), parts.port
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/json", **headers}
        self._resource = {"attributes": encoded_attributes({**resource})}
        self._count = count
        self._queue: deque[dict[str, Any]] = deque()
        self._is_failing = False
        self._sending = BoundedSemaphore(1)

    def add(self, span: Span) -> None:
        """Queue a span, unless its caller's trace is not sampled."""
        if not span.parent.is_sampled:
            return
        if len(self._queue) >= MOST:
            self._count("dropped", 1)
        else:
            self._queue.append(span.encoded())

    def start(self, background: Background) -> None:
        """Start the background task."""
        background.run("span export", self._keep_sending)

    def close(self) -> None:
        """Send the queued spans while the worker stops."""
        self.flush(within=LAST)

    def flush(self, within: float = TIMEOUT) -> None:
        """Send the queued spans, until the queue is empty or the collector fails.

        `within`: seconds for each step of a request.
        """
        if not self._sending.acquire(timeout=within):
            return
        try:
            while (batch := list(itertools.islice(self._queue, BATCH))) and self._is_done(batch, within):
                for _ in batch:
                    self._queue.popleft()
        finally:
            self._sending.release()

    def _is_done(self, batch: list[dict[str, Any]], within: float) -> bool:
        """Send a batch; whether it is taken or refused for good, and need not be sent again."""
        status, why = self._send(batch, within)
        self._note(why)
        if status is None or status in RETRYABLE:
            return False
        self._count("dropped" if why else "sent", len(batch))
        return True

    def _keep_sending(self) -> None:
        while True:
            time.sleep(INTERVAL)
            self.flush()

    def _send(self, batch: list[dict[str, Any]], within: float) -> tuple[int | None, str]:
        """Return the status, None without a response, and the failure, empty if the collector took the batch."""
        scope = {"scope": {"name": "gpt-broker"}, "spans": batch}
        body = json.dumps({"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]})
        connection = self._connection(within)
        try:
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return None, type(error).__name__
        finally:
            connection.close()
        return response.status, "" if response.status == 200 else f"status {response.status}"

    def _connection(self, within: float) -> http.client.HTTPConnection:
        if self._is_tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=within, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=within)

    def _note(self, why: str) -> None:
        if bool(why) is self._is_failing:
            return
        self._is_failing = bool(why)
        if why:
            log.warning("the collector does not accept spans", extra={"why": why})
        else:
            log.warning("the collector accepts spans again")
