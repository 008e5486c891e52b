"""Capacity planning from the measured figures: the load of one core, and the needs of a number of users."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.rounds import Rounds

USERS = (1_000, 100_000, 10_000_000)
CALLS_A_DAY = 10  # of each user
TOKENS = 300  # of an answer
PACE = 50  # tokens a second, as OpenAI sends them
BUSIEST_HOUR = 0.10  # of the day's calls; an even day would have 0.042
LOADED = 0.5  # of a core at most; the rest is for bursts
REPLICA = 4  # workers
HEADINGS = ("users a day", "calls a second, busiest hour", "open streams", "cores at work", "workers", "replicas",
            "memory", "Redis, of a core", "Redis, memory")  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """The medians that the calculation uses."""

    call_ms: float
    token_us: float
    redis_ms: float
    stream_kb: float
    worker_mb: float
    redis_bytes: float

    @classmethod
    def of(cls, rounds: Rounds) -> "Costs":
        """Return the broker's."""
        return cls(
            rounds.median("1", "broker", "processor_ms"),
            rounds.median("3", "broker", "processor_us"),
            rounds.median("1", "broker", "redis_ms"),
            rounds.median("5 at 3000", "broker", "stream_kb"),
            rounds.median("6", "broker", "pss_mb"),
            rounds.median("7 with 1000000 users", "broker", "redis_bytes"),
        )

    @property
    def answer_ms(self) -> float:
        """Processor time of a streamed answer. Slightly high: a token's share of its call is in both terms."""
        return self.call_ms + TOKENS * self.token_us / 1e3


def lines(rounds: Rounds) -> Iterator[str]:
    """Yield the calculation for one core, then the table."""
    costs = Costs.of(rounds)
    calls = LOADED * 1e3 / costs.answer_ms
    a_day = calls * 3600 / BUSIEST_HOUR
    yield f"- An answer of {TOKENS} tokens: {costs.call_ms:.3f} ms for the call + {TOKENS} × {costs.token_us:.1f} µs"
    yield f"  = **{costs.answer_ms:.1f} ms** of a core."
    yield f"- One core, loaded to {LOADED:.0%}: {LOADED * 1e3:.0f} ms a second ÷ {costs.answer_ms:.1f} ms"
    yield f"  = **{calls:.0f} answers a second**, {calls:.0f} × {TOKENS} = **{calls * TOKENS:,.0f} tokens a second**."
    yield f"- With {BUSIEST_HOUR:.0%} of a day's calls in its busiest hour: {calls:.0f} × 3,600 ÷ {BUSIEST_HOUR:.2f}"
    yield f"  = **{a_day:,.0f} calls a day**, at {CALLS_A_DAY} calls each **{a_day / CALLS_A_DAY:,.0f} users a day**."
    yield ""
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|---" * len(HEADINGS) + "|"
    for users in USERS:
        yield _row(costs, users)


def _row(costs: Costs, users: int) -> str:
    calls = users * CALLS_A_DAY * BUSIEST_HOUR / 3600
    streams = calls * TOKENS / PACE
    cores = calls * costs.answer_ms / 1e3
    workers = max(2, math.ceil(cores / LOADED))
    replicas = max(2, math.ceil(workers / REPLICA))
    memory = workers * costs.worker_mb + streams * costs.stream_kb / 1024
    redis_mb = users * costs.redis_bytes / 1e6
    cells = (f"{users:,}", f"{calls:,.1f}", f"{streams:,.0f}", f"{cores:,.2f}", f"{workers}", f"{replicas}",
             f"{memory:,.0f} MB", f"{calls * costs.redis_ms / 1e3:.2%}", f"{redis_mb:,.0f} MB")  # fmt: skip
    return "| " + " | ".join(cells) + " |"
