"""The figures: the load on a contestant, and the measurements during it.

Each takes a contestant that has answered once, and returns values by name; `columns.py` describes them.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.benchmarks import call_load, payloads, stream_load
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.meter import Meter
from tests.benchmarks.payloads import Plan
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.surroundings import Surroundings

Values = dict[str, float]
SETTLING = 1.0  # seconds after an answer until a program is at rest


class Failed(Exception):
    """Calls or streams failed."""


def calls(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 1: whole calls with an upstream that answers at once."""
    with Meter(around, contestant) as meter:
        report = make_calls(around, contestant, connections=sizes.call_connections, seconds=sizes.call_seconds)
    values = {
        "calls_a_second": report.calls / report.seconds,
        **_quantiles("", report.times),
        "upstream_busy": meter.spent["upstream"] / report.seconds,
        "generator_busy": report.processor_seconds / report.seconds,
    }
    if contestant.tree:
        values["processor_ms"] = meter.spent["contestant"] / report.calls * 1e3
    if contestant.counts:
        values["redis_ms"] = meter.spent["redis"] / report.calls * 1e3
    return values


def single_calls(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 2: one call at a time, on one connection."""
    return _quantiles("", make_calls(around, contestant, calls=sizes.single_calls).times)


def calls_with_bodies(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Iterator[tuple[str, Values]]:
    """Figure 8: whole calls with bodies as real clients send them."""
    assert contestant.tree
    for name, messages in payloads.CONVERSATIONS.items():
        requests = [request.decode() for request in contestant.calls_with(messages)]
        with Meter(around, contestant) as meter:
            job = call_load.Job(contestant.port, requests, connections=4, seconds=sizes.call_seconds)
            report = around.make_calls(job)
        if report.failed or not report.calls:
            raise Failed(f"{contestant.name}: {report.failed} calls with {name}, the first: {report.failure}")
        yield name, {"processor_ms": meter.spent["contestant"] / report.calls * 1e3, **_quantiles("", report.times)}


def streams(around: Surroundings, contestant: Contestant, sizes: Sizes) -> Values:
    """Figure 3: streams with one token a write. With `clump` above 1, figure 4: several tokens a write."""
    plan = Plan(sizes.stream_tokens, sizes.stream_pace, sizes.clump)
    with Meter(around, contestant) as meter:
        report = around.make_streams(_stream_job(contestant, plan, sizes.streams, sizes.stream_starts))
    if report.failed:
        raise Failed(f"{contestant.name}: {report.failed} streams, the first: {report.failure}")
    cost = {"processor_us": meter.spent["contestant"] / report.tokens * 1e6} if contestant.tree else {}
    return {
        **cost,
        **_quantiles("first_", report.first_token),
        **_quantiles("late_", report.late),
        "tokens_a_read": report.tokens / report.reads,
        "upstream_busy": meter.spent["upstream"] / meter.seconds,
        "generator_busy": report.processor_seconds / meter.seconds,
    }


def open_streams(around: Surroundings, contestant: Contestant, sizes: Sizes, plan: Plan, count: int) -> Values:
    """Figures 5 and 7: many open streams, the cost of a token, and the cost of a call meanwhile."""
    assert contestant.tree
    at_rest = contestant.tree.pss_bytes()
    windows = 2 if contestant.counts else 1
    lasting = count / sizes.open_starts + windows * sizes.open_seconds + sizes.open_margin
    plan = replace(plan, tokens=int(lasting * plan.a_second) + 1)
    values: Values = {}

    def watch() -> None:
        values["processor_us"] = a_token = _token_us(around, contestant, sizes, count * plan.a_second)
        if contestant.counts:
            values["call_ms"] = _call_ms(around, contestant, sizes, count * plan.a_second * a_token)
        assert contestant.tree
        values["stream_kb"] = (contestant.tree.pss_bytes() - at_rest) / count / 1024

    report = around.make_streams(_stream_job(contestant, plan, count, sizes.open_starts), watch)
    if report.failed:
        print(f"  {contestant.name}: {report.failed} streams failed, the first: {report.failure}", flush=True)
    return {**values, **_quantiles("first_", report.first_token), "failed": report.failed}


def _token_us(around: Surroundings, contestant: Contestant, sizes: Sizes, tokens_a_second: float) -> float:
    with Meter(around, contestant) as meter:
        time.sleep(sizes.open_seconds)
    return meter.spent["contestant"] / (meter.seconds * tokens_a_second) * 1e6


def _call_ms(around: Surroundings, contestant: Contestant, sizes: Sizes, streams_us: float) -> float:
    """Return the cost of a call next to streams that cost `streams_us` of each second."""
    with Meter(around, contestant) as meter:
        report = make_calls(around, contestant, seconds=sizes.open_seconds)
    return (meter.spent["contestant"] - meter.seconds * streams_us / 1e6) / report.calls * 1e3


def at_rest(contestant: Contestant) -> Values:
    """Figure 6: memory of an idle contestant that has answered once."""
    assert contestant.tree
    time.sleep(SETTLING)
    return {"pss_mb": contestant.tree.pss_bytes() / 1e6, "alone_mb": contestant.tree.alone_bytes() / 1e6}


def warm_up(around: Surroundings, contestant: Contestant, sizes: Sizes) -> None:
    """Make a contestant do everything once."""
    make_calls(around, contestant, connections=sizes.call_connections, calls=sizes.warm_up)
    around.make_streams(_stream_job(contestant, Plan(5, 100.0), 5, 100.0))


def make_calls(around: Surroundings, contestant: Contestant, **amount: Any) -> call_load.Report:
    """Make whole calls. `amount`: fields of `call_load.Job`. Raises `Failed` if any call does."""
    requests = [request.decode() for request in contestant.calls()]
    report = around.make_calls(call_load.Job(contestant.port, requests, **amount))
    if report.failed or not report.calls:
        raise Failed(f"{contestant.name}: {report.failed} calls, the first: {report.failure}")
    return report


def _stream_job(contestant: Contestant, plan: Plan, count: int, starts: float) -> stream_load.Job:
    requests = [request.decode() for request in contestant.streams(plan)]
    return stream_load.Job(contestant.port, requests, count, starts, plan.tokens)


def _quantiles(name: str, seconds: list[float]) -> Values:
    return {f"{name}p50_ms": quantile(seconds, 0.5) * 1e3, f"{name}p99_ms": quantile(seconds, 0.99) * 1e3}


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of `values` does not exceed."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]
