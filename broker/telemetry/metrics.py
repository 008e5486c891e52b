"""The Prometheus metrics. No label holds a user, a token, a prompt or any other value from a client.

Names: https://prometheus.io/docs/practices/naming/. With several workers the values are kept in files
(`PROMETHEUS_MULTIPROC_DIR`), so that any worker reports for all, including dead ones.
"""

import contextlib
import functools
import struct
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_flask_exporter import PrometheusMetrics

from broker.telemetry import file_lock
from broker.telemetry.budget_metrics import BudgetMetrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds
LONG = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)  # seconds

TRIES = 10  # of a scrape
STARTING = 0.01  # seconds between them


class Metrics:
    """The broker's metrics, in their own registry, so that two apps do not collide."""

    def __init__(self) -> None:
        self._started = time.time()  # in the master: the workers that it forks share the value
        self._registry = CollectorRegistry()
        self._exporter = PrometheusMetrics(None, path=None, export_defaults=False, registry=self._registry)
        self._requests = self._counters(
            "requests_total", "Requests answered, without those for /metrics", "method", "endpoint", "status_code"
        )
        self._duration = self._histograms(
            "request_duration_seconds", "From the request to the end of its answer", LONG, "method", "endpoint"
        )
        self._first_token = self._histograms(
            "time_to_first_token_seconds", "From the request to a stream's first text", SHORT, "model"
        )
        self._stream_duration = self._histograms(
            "stream_duration_seconds", "From the request to the end of a stream", LONG, "model", "outcome"
        )
        self.budgets = BudgetMetrics(self._counters, self._gauge)
        self._count_failures()
        # admitted = settled + given back + lapsed + in flight: see `quota.quota`
        self.calls_admitted = self._counter("calls_admitted_total", "Calls reserved")
        self.calls_settled = self._counter("calls_settled_total", "Calls that count, as stored in Redis")
        self.calls_given_back = self._counter("calls_given_back_total", "Calls that cost nothing, as stored in Redis")
        self.calls_lapsed = self._counter("calls_lapsed_total", "Calls that were in flight in a worker that died")
        self.calls_in_flight = self._gauge("calls_in_flight", "Calls whose end is not yet stored in Redis", "livesum")
        self.quota_refusals = self._counter("quota_refusals_total", "Calls over the daily limit")
        self.streams_in_flight = self._gauge("streams_in_flight", "Streams under way", "livesum")
        self._workers = self._gauge("workers", "Processes that serve calls", "livesum")
        self._worker_starts = self._counter("worker_starts_total", "Workers started, replacements included")
        self.worker_deaths = self._counter("worker_deaths_total", "Workers that ended without a signal of the master")
        self._start_time = self._gauge(
            "start_time_seconds", "When the broker started (Unix time), and its commit", "livemax", "revision"
        )
        self._add_redis_metrics()
        self._background_restarts = self._counters(
            "background_restarts_total", "Background tasks restarted after an exception", "task"
        )
        self.signing_keys_up = self._gauge(
            "signing_keys_up", "1 if the last fetch of Supabase's keys succeeded in all workers", "livemin"
        )

    def call_admitted(self, amounts: tuple[int, int]) -> None:
        """Record a call and its reservation of tokens and nano-dollars."""
        self.calls_admitted.inc()
        self.calls_in_flight.inc()
        self.budgets.reserved(amounts)

    def _count_failures(self) -> None:
        self._upstream_failures = self._counters("upstream_failures_total", "Calls that failed at OpenAI", "kind")
        self._upstream_retries = self._counters(
            "upstream_retries_total", "Failed attempts at OpenAI that are retried", "kind"
        )
        self._connection_failures = self._counters(
            "openai_connection_failures_total", "Failed connections to OpenAI, by kind of failure", "kind"
        )
        self._supabase_failures = self._counters(
            "supabase_failures_total", "Failed requests to Supabase Auth, by kind of failure", "kind"
        )

        self._spans = self._counters("spans_total", "OpenTelemetry spans sent to the collector, or dropped", "outcome")
        self._sign_in_refusals = self._counters(
            "sign_in_refusals_total", "Requests answered with 401, by reason", "reason"
        )

    def _add_redis_metrics(self) -> None:
        self._redis_failures = self._counters("redis_failures_total", "Scripts that failed in Redis", "kind")
        self.redis_up = self._gauge("redis_up", "1 if the last command to Redis succeeded in every worker", "livemin")
        self.counting_locally = self._gauge(
            "counting_locally", "1 if a worker counts calls by itself because Redis is unavailable", "livemax"
        )

    def worker_started(self, revision: str) -> None:
        """Count this process as a serving worker of a broker that runs this commit."""
        self._start_time.labels(revision).set(self._started)
        self._workers.set(1)
        self._worker_starts.inc()

    def request_ended(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Record a finished request. `endpoint` is a route pattern, never a path."""
        method = method if method in METHODS else "other"
        self._requests(method, endpoint, str(status)).inc()
        self._duration(method, endpoint).observe(seconds)

    def first_token_sent(self, model: str, seconds: float) -> None:
        """Record a stream's first text, `seconds` after its request."""
        self._first_token(model).observe(seconds)

    def stream_ended(self, model: str, outcome: str, seconds: float) -> None:
        """Record the end of a stream, `seconds` after its request."""
        self._stream_duration(model, outcome).observe(seconds)

    def sign_in_refused(self, reason: str) -> None:
        """Count a 401. `reason` is a value of `broker.errors.base.Reason`."""
        self._sign_in_refusals(reason).inc()

    def spans_exported(self, outcome: str, number: int) -> None:
        """Count spans that were "sent" to the collector or "dropped"."""
        self._spans(outcome).inc(number)

    def upstream_failed(self, kind: str) -> None:
        """Count a call that ended because OpenAI failed."""
        self._upstream_failures(kind).inc()

    def openai_disconnected(self, kind: str) -> None:
        """Count a failed connection to OpenAI. `kind` is one of `broker.errors.network.KINDS`."""
        self._connection_failures(kind).inc()

    def supabase_failed(self, kind: str) -> None:
        """Count a failed request. `kind` is one of `supabase_client.KINDS`."""
        self._supabase_failures(kind).inc()

    def redis_failed(self, kind: str) -> None:
        """Count a failed script. `kind` is one of `redis_clients.failures.KINDS`."""
        self._redis_failures(kind).inc()

    def upstream_retried(self, kind: str) -> None:
        """Count a failed attempt that is retried."""
        self._upstream_retries(kind).inc()

    def background_restarted(self, task: str, times: int) -> None:
        """Count restarts of a background task that raised; 0 makes the counter appear."""
        self._background_restarts(task).inc(times)

    def exposition(self, accept: str | None) -> tuple[str | bytes, str]:
        """The text for Prometheus, over all workers, and its content type.

        prometheus_client raises `struct.error` on the empty files of a worker that is just starting; then retry.
        """
        for _ in range(TRIES - 1):
            with contextlib.suppress(struct.error):
                return self._generate(accept)
            time.sleep(STARTING)
        return self._generate(accept)

    def _generate(self, accept: str | None) -> tuple[str | bytes, str]:
        with file_lock.reading():
            content, content_type = self._exporter.generate_metrics(accept)
        return content, content_type

    def _counter(self, name: str, text: str) -> Counter:
        return Counter("gpt_broker_" + name, text, registry=self._registry)

    def _counters(self, name: str, text: str, *labels: str) -> Callable[..., Counter]:
        """Counters by labels, cached: a lookup in prometheus_client takes a lock."""
        return functools.cache(Counter("gpt_broker_" + name, text, labels, registry=self._registry).labels)

    def _gauge(self, name: str, text: str, mode: Any, *labels: str) -> Gauge:
        return Gauge("gpt_broker_" + name, text, labels, registry=self._registry, multiprocess_mode=mode)

    def _histograms(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
        """Histograms by labels, cached like `_counters`."""
        histogram = Histogram("gpt_broker_" + name, text, labels, registry=self._registry, buckets=buckets)
        return functools.cache(histogram.labels)


@functools.cache
def metrics_of_process() -> Metrics:
    """Return the metrics that all apps of this process share.

    A reload builds a new app in the same master, and prometheus_client keeps every value that was ever made.
    """
    return Metrics()
