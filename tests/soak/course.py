"""The phases of a soak test: warm-up, rest, load with faults, rest."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from deploy.local import broker_process
from tests.integration import ledger
from tests.integration.stack import Stack
from tests.network_path import NetworkPath
from tests.soak.load import Load
from tests.soak.meter import Meter, Sample

USERS, CLIENTS = 30, 16
FREE = {"FREE_ABANDONED_CALLS": "1000000"}  # others would be counted though OpenAI did not begin to answer
REST = 6.0  # seconds without load before a sample at rest; longer than any time-out here
PROGRAM = tuple(word.replace("config/", "tests/soak/") for word in broker_process.GUNICORN)

Fault = Callable[[Stack], None]


@dataclass
class Run:
    """The results of a soak test."""

    before: Sample
    after: Sample
    samples: list[Sample]
    outcomes: dict[str, int]
    imbalance: str  # the call counts, if they do not balance
    marks: list[tuple[float, str]] = field(default_factory=list)


def run(seconds: float, warm_up: float, rest: float = REST) -> Run:
    """Run a broker under load for `seconds`; the first `warm_up` of them fill its pools and caches.

    It reaches OpenAI over TLS, and both OpenAI and Redis through network paths that can forget connections.
    """
    openai_path = NetworkPath(0, is_proxy=True)
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{openai_path.port}"}
    with tempfile.TemporaryDirectory() as vitals, mock.patch.object(broker_process, "GUNICORN", PROGRAM):
        stack = Stack(through_path=True, SOAK_VITALS=vitals, OPENAI_MAX_RETRIES="0", **FREE, **proxy)
        try:
            done = _run(stack, openai_path, Path(vitals), (warm_up, seconds - warm_up), rest)
        finally:
            stack.stop()
            openai_path.close()
    assert openai_path.connects, "the broker does not use the proxy"
    return done


def _run(stack: Stack, openai_path: NetworkPath, vitals: Path, seconds: tuple[float, float], rest: float) -> Run:
    load = Load(stack, stack.users(USERS), CLIENTS)
    meter, marks = Meter(stack, vitals, load.outcomes, openai_path.port), [(0.0, "warm-up")]

    lost = 0

    def openai_connections_are_forgotten(_: Stack) -> None:
        nonlocal lost
        lost += openai_path.forget()

    faults = (*FAULTS, openai_connections_are_forgotten)

    def mark(word: str) -> None:
        marks.append((meter.sample().at, word))

    try:
        # a reload replaces the workers, and with them all growth so far: it belongs to the warm-up
        _apply_load(load, stack, seconds[0], (_broker_reloads, *faults), mark)
        mark("rest")
        time.sleep(rest)
        before = meter.sample()
        mark("load")
        _apply_load(load, stack, seconds[1], faults, mark)
        mark("rest")
        time.sleep(rest)
        after = meter.sample()
        problem = _balance(stack, lost)
    finally:
        meter.stop()
    return Run(before, after, meter.samples, dict(load.outcomes), problem, marks)


def _balance(stack: Stack, lost: int) -> str:
    """Return the call counts if they do not balance at rest. No client here leaves as its answer begins.

    `lost`: connections to OpenAI that were forgotten.
    """
    seen = ledger.read(stack.broker, stack.redis.client, stack.openai)
    return "" if seen.is_balanced(killed=False, lost=lost) else str(seen)


def _apply_load(load: Load, stack: Stack, seconds: float, faults: Sequence[Fault], mark: Callable[[str], None]) -> None:
    """Apply load for `seconds`, with each fault once a minute at even intervals, or once in all if that is shorter."""
    rounds = max(1, round(seconds / 60))
    load.start()
    try:
        for number in range(rounds * len(faults)):
            time.sleep(seconds / (rounds * len(faults)) * 0.9)
            fault = faults[number % len(faults)]
            mark(fault.__name__.strip("_").replace("_", " "))
            fault(stack)
    finally:
        load.stop()


def _broker_reloads(stack: Stack) -> None:
    os.kill(stack.broker.process.pid, signal.SIGHUP)


def _redis_fails_over(stack: Stack) -> None:
    stack.redis.client.execute_command("REPLICAOF", "127.0.0.1", 1)  # refuses writes, as after a fail-over
    time.sleep(0.5)
    stack.redis.client.execute_command("REPLICAOF", "NO", "ONE")


def _redis_connections_are_forgotten(stack: Stack) -> None:
    stack.redis_path.forget()


def _redis_freezes(stack: Stack) -> None:
    stack.redis.freeze()
    time.sleep(0.5)
    stack.redis.thaw()


def _redis_restarts(stack: Stack) -> None:
    stack.redis.stop()
    stack.redis.start()


def _supabase_fails(stack: Stack) -> None:
    stack.supabase.behaviour = "failing"
    time.sleep(0.5)
    stack.supabase.behaviour = "well"


def _keys_rotate(stack: Stack) -> None:
    if len(stack.supabase.keys.published) > 4:
        del stack.supabase.keys.published[1:-1]  # the first key signed the tokens in use
    stack.supabase.keys.rotate()


def _openai_slows(stack: Stack) -> None:
    pace, stack.openai.token_delay = stack.openai.token_delay, 0.03
    time.sleep(0.5)
    stack.openai.token_delay = pace


FAULTS: tuple[Fault, ...] = (
    _redis_freezes,
    _redis_fails_over,
    _redis_connections_are_forgotten,
    _supabase_fails,
    _keys_rotate,
    _redis_restarts,
    _openai_slows,
)
