"""The figures: what is done to a contestant, and what is read off while it is being done.

Each takes a contestant that has given its first answer, and gives values by name; `quantities.py` says what they are.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks import call_load, stream_load
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.payloads import Plan
from tests.benchmarks.process_tree import ProcessTree
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.surroundings import Surroundings

Values = dict[str, float]
Figure = Callable[[Surroundings, Contestant, Sizes], Values]


class Failed(Exception):
    """Calls or streams were not answered as they have to be."""


class Meter:
    """Processor time between two moments: the contestant's, and that of what stands around it."""

    def __init__(self, around: Surroundings, contestant: Contestant) -> None:
        upstream = ProcessTree(around.upstream.pid)
        self._trees = {"contestant": contestant.tree, "upstream": upstream, "redis": around.redis.tree()}
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> "Meter":
        self._wall = time.monotonic()
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._read()
        self.seconds = {name: now[name] - self._before[name] for name in now}
        self.wall = time.monotonic() - self._wall

    def _read(self) -> dict[str, float]:
        return {name: tree.processor_seconds() if tree else 0.0 for name, tree in self._trees.items()}


def calls(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 1: whole calls to an upstream that answers at once."""
    with Meter(around, contestant) as meter:
        report = _make_calls(around, contestant, connections=sizes.call_connections, seconds=sizes.call_seconds)
    return {
        "processor_ms": meter.seconds["contestant"] / report.calls * 1e3,
        "redis_ms": meter.seconds["redis"] / report.calls * 1e3,
        "calls_a_second": report.calls / report.seconds,
        "p50_ms": quantile(report.times, 0.5) * 1e3,
        "p99_ms": quantile(report.times, 0.99) * 1e3,
        "upstream_busy": meter.seconds["upstream"] / report.seconds,
        "generator_busy": report.processor_seconds / report.seconds,
    }


def single_calls(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 2: one call at a time, on one connection."""
    report = _make_calls(around, contestant, calls=sizes.single_calls)
    return {"p50_ms": quantile(report.times, 0.5) * 1e3, "p99_ms": quantile(report.times, 0.99) * 1e3}


def streams(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 3: streams whose tokens come one by one."""
    return _stream_values(around, contestant, sizes, clump=1)


def clumps(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 4: the same with several tokens in a write, as OpenAI sends them."""
    return _stream_values(around, contestant, sizes, clump=sizes.clump)


def open_streams(around: Surroundings, contestant: Contestant, sizes: Sizes, count: int) -> Values:
    """Figure 5: many streams open at once, at one token a second each."""
    assert contestant.tree
    at_rest = contestant.tree.pss_bytes()
    plan = Plan(int(count / sizes.open_starts + sizes.open_seconds) + 2, 1.0)
    values: Values = {}

    def watch() -> None:
        assert contestant.tree
        with Meter(around, contestant) as meter:
            time.sleep(sizes.open_seconds)
        tokens = count * plan.a_second * meter.wall
        values["processor_us"] = meter.seconds["contestant"] / tokens * 1e6
        values["stream_kb"] = (contestant.tree.pss_bytes() - at_rest) / count / 1024

    report = around.make_streams(_stream_job(contestant, plan, count, sizes.open_starts), watch)
    return {**values, **_first_token(report), "failed": report.failed}


def _stream_values(around: Surroundings, contestant: Contestant, sizes: Sizes, clump: int) -> Values:
    plan = Plan(sizes.stream_tokens, sizes.stream_pace, clump)
    with Meter(around, contestant) as meter:
        report = around.make_streams(_stream_job(contestant, plan, sizes.streams, sizes.stream_starts))
    if report.failed:
        raise Failed(f"{contestant.name}: {report.failed} streams, the first: {report.failure}")
    return {
        "processor_us": meter.seconds["contestant"] / report.tokens * 1e6,
        **_first_token(report),
        "late_p50_ms": quantile(report.late, 0.5) * 1e3,
        "late_p99_ms": quantile(report.late, 0.99) * 1e3,
        "tokens_a_read": report.tokens / report.reads,
        "upstream_busy": meter.seconds["upstream"] / meter.wall,
        "generator_busy": report.processor_seconds / meter.wall,
    }


def _first_token(report: stream_load.Report) -> Values:
    return {
        "first_p50_ms": quantile(report.first_token, 0.5) * 1e3,
        "first_p99_ms": quantile(report.first_token, 0.99) * 1e3,
    }


def _stream_job(contestant: Contestant, plan: Plan, count: int, starts: float) -> stream_load.Job:
    requests = [request.decode() for request in contestant.streams(plan)]
    return stream_load.Job(contestant.port, requests, count, starts, plan.tokens)


def _make_calls(around: Surroundings, contestant: Contestant, **amount: Any) -> call_load.Report:
    requests = [request.decode() for request in contestant.calls()]
    report = around.make_calls(call_load.Job(contestant.port, requests, **amount))
    if report.failed or not report.calls:
        raise Failed(f"{contestant.name}: {report.failed} calls, the first: {report.failure}")
    return report


def warm_up(around: Surroundings, contestant: Contestant, sizes: Sizes) -> None:
    """Let a contestant do everything for the first time."""
    _make_calls(around, contestant, connections=sizes.call_connections, calls=sizes.warm_up)
    around.make_streams(_stream_job(contestant, Plan(5, 100.0), 5, 100.0))


def quantile(values: list[float], share: float) -> float:
    """The value that this share of them does not exceed; as Python's `statistics` counts, for a large sample."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1] if values else float("nan")
