"""The benchmarks run at tiny sizes with the real programs, and detect bad answers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.local.broker_process import ROOT
from tests.benchmarks import figures, growth, limits, stream_load
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.payloads import Plan
from tests.benchmarks.rounds import FILE
from tests.benchmarks.sizes import TINY
from tests.benchmarks.surroundings import Surroundings


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    """The stand-ins, Redis and the load generator, for all tests here."""
    surroundings = Surroundings()
    yield surroundings
    surroundings.close()


@pytest.fixture(scope="module")
def broker(around: Surroundings) -> Iterator[Contestant]:
    """The broker as a contestant."""
    with around.contestant("broker") as contestant:
        yield contestant


def test_the_cost_of_a_call_and_a_token_is_measured(around: Surroundings, broker: Contestant) -> None:
    """The broker is measured beside nginx, which costs less, and a plain prototype."""
    with around.contestant("nginx") as nginx:
        floor = figures.calls(around, nginx, TINY) | figures.streams(around, nginx, TINY)
    values = figures.calls(around, broker, TINY) | figures.streams(around, broker, TINY)
    with around.contestant("plain") as plain:
        prototype = figures.calls(around, plain, TINY) | figures.streams(around, plain, TINY)

    assert prototype["processor_ms"] > 0 < prototype["processor_us"]
    assert 0 < floor["processor_ms"] < values["processor_ms"] < 100
    assert 0 < floor["processor_us"] < values["processor_us"] < 100_000
    assert values["redis_ms"] > 0
    assert 0 < values["first_p50_ms"] <= values["first_p99_ms"]
    assert values["late_p50_ms"] > 0
    assert values["tokens_a_read"] >= 1


def test_open_streams_are_measured_while_all_are_open(around: Surroundings, broker: Contestant) -> None:
    """None fails, and each costs processor time."""
    values = figures.open_streams(around, broker, TINY, Plan(0, 20.0), 10)

    assert values["failed"] == 0
    assert values["processor_us"] > 0


def test_limits_are_measured_beside_calls_alone(around: Surroundings) -> None:
    """Each case has the cost of a call and a token; the ratio is that of the turns."""
    without, limited = (values for _, values in limits.costs(around, TINY, times=2))

    assert without.keys() == {"call_ms", "redis_ms", "processor_us"}
    assert all(value > 0 for value in [*without.values(), *limited.values()])
    assert 0.2 < limited["call_ms_ratio"] < 5


def test_users_are_in_redis_before_they_are_counted(around: Surroundings) -> None:
    """Growth is measured on top of existing users, and each user takes memory."""
    values = growth.with_users(around, replace(TINY, call_seconds=0.1), growth.CALLERS + 300)

    assert 50 < values["redis_bytes"] < 10_000


def test_the_memory_of_a_program_at_rest_is_read(broker: Contestant) -> None:
    """It would be more if the program did not share files."""
    values = figures.at_rest(broker)

    assert 10 < values["pss_mb"] <= values["alone_mb"] < 500


def test_a_stream_that_does_not_bring_every_token_has_failed(around: Surroundings) -> None:
    """A proper end does not make it a success."""
    with around.contestant("direct") as direct:
        requests = [request.decode() for request in direct.streams(Plan(5, 200.0))]
        report = around.make_streams(stream_load.Job(direct.port, requests, 2, 100.0, tokens=6))

    assert (report.streams, report.failed, report.tokens) == (0, 2, 10)


def test_refused_calls_are_not_measured(around: Surroundings, broker: Contestant) -> None:
    """A contestant that refuses quickly must not look fast."""
    keys, broker.keys = broker.keys, ("no token",)
    try:
        with pytest.raises(figures.Failed, match="401"):
            figures.calls(around, broker, TINY)
        with pytest.raises(figures.Failed, match=r"refused after 0 tokens: HTTP/1\.1 401"):
            figures.streams(around, broker, TINY)
    finally:
        broker.keys = keys


def test_the_command_prints_its_tables_and_leaves_the_results_alone() -> None:
    """A quick run writes no results."""
    before = FILE.read_bytes() if FILE.exists() else b""
    environ = {**os.environ, "SIZE": "tiny", "ROUNDS": "1", "AMONG": "direct", "ONLY": "1 2"}
    command = (sys.executable, "-m", "tests.benchmarks")
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)

    assert "| straight to the stand-in |" in done.stdout
    assert (FILE.read_bytes() if FILE.exists() else b"") == before
