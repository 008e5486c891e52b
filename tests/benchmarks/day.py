"""A day of a tenant with many users, simulated from measured costs: pods, cores, Redis, and what breaks first. Pure.

The curve of a day is an assumption: office hours, a dip at noon, a second rise in the evening, a thirteenth of the
peak at night. It is the curve of one country; users of several make a flatter one.
"""

import math
import random
from dataclasses import dataclass, field

from tests.benchmarks.autoscaler import SYNC, Autoscaler, Target
from tests.benchmarks.capacity import PACE, TOKENS, Costs

# percent of the day's calls, by hour; the sum is 100
HOURS = (
    2.0, 1.2, 0.8, 0.6, 0.6, 0.8, 1.6, 3.2, 5.6, 7.2, 7.8, 7.6, 6.4, 7.0, 7.6, 7.2, 6.4,
    5.2, 4.4, 4.4, 4.8, 4.0, 2.2, 1.4,
)  # fmt: skip
WORKERS = 2  # of a pod, a core each: values.yaml
CPU_TARGET = 0.7  # values.yaml
STREAMS_TARGET = 2_000  # values.yaml
POD_START = 40.0  # seconds: scheduling, pulling the image, the startup probe
NODE_START = 90.0  # seconds more where a node has to come first
LONGEST = 600.0  # seconds of a call (OPENAI_CALL_TIMEOUT)
GRACE = 635.0  # seconds that a pod is given to end: drainDelay + GRACEFUL_TIMEOUT + 20
BEFORE = 7_200  # seconds simulated before midnight, so that the day begins with as many pods as it needs
RENEW = 15.0  # seconds between renewals of a call's lease
UPSTREAM_BYTES, CLIENT_BYTES = 310, 60  # of a token, from OpenAI and to a page on /stream
OTHER_ZONE = 2 / 3  # of connections, where three zones are used alike
REDIS_LOADED = 0.7  # of a core, at most
REDIS_MB = 4_000  # of a primary at most, an assumption: a replica copies it anew after a fail-over
PORTS = 64_512  # connections from one address to one address of OpenAI, as a NAT gateway makes them
PROMPT_TOKENS = 300  # of a call


@dataclass
class Day:
    """The observations of a day: a value per step, and sums."""

    users: int
    calls: int = 0
    hours: list[float] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)  # share of the ready pods' cores
    core_hours: float = 0.0
    cut: int = 0
    redis_share: float = 0.0  # of one core, at the busiest moment
    redis_ops: float = 0.0  # a second, at the busiest moment
    redis_mb: float = 0.0
    cross_zone_gb: float = 0.0
    openai_tokens: float = 0.0  # a minute, at the busiest moment

    @property
    def overloaded(self) -> float:
        """Return the share of the day in which the load exceeded the pods' cores."""
        return sum(share > 1 for share in self.busy) / len(self.busy)


def simulate(users: int, calls_of_a_user: float, costs: Costs, most: int = 10_000) -> Day:
    """Simulate a day from midnight in the autoscaler's steps. Arrivals are random (Poisson) with a fixed seed."""
    chance = random.Random(1)
    seconds = TOKENS / PACE  # of an answer
    scaler = Autoscaler(
        Target(STREAMS_TARGET, CPU_TARGET * WORKERS, 2, most), POD_START + NODE_START / 2, drain_s=GRACE
    )
    day = Day(users)
    open_streams = 0.0
    for step in range(-BEFORE // SYNC, 86_400 // SYNC):
        now = step * SYNC
        arrived = _poisson(chance, users * calls_of_a_user * _share(now) * SYNC)
        open_streams += arrived - open_streams * (1 - math.exp(-SYNC / seconds))
        cores = arrived / SYNC * costs.answer_ms / 1e3
        scaler.step(now, open_streams, min(cores, scaler.ready * WORKERS))
        if now >= 0:
            _note(day, scaler, costs, (now, arrived, open_streams, cores))
    day.cut = 0 if LONGEST < GRACE else scaler.running  # a draining pod outlives its longest call
    day.redis_mb = users * costs.redis_bytes / 1e6
    tokens = day.calls * TOKENS
    day.cross_zone_gb = OTHER_ZONE * tokens * (UPSTREAM_BYTES + CLIENT_BYTES) / 1e9
    return day


def _note(day: Day, scaler: Autoscaler, costs: Costs, seen: tuple[float, int, float, float]) -> None:
    now, arrived, open_streams, cores = seen
    day.calls += arrived
    day.hours.append(now / 3600)
    day.streams.append(open_streams)
    day.pods.append(scaler.running)
    day.busy.append(cores / (scaler.ready * WORKERS))
    day.core_hours += scaler.running * WORKERS * SYNC / 3600
    calls_a_second = arrived / SYNC
    day.redis_share = max(day.redis_share, calls_a_second * costs.redis_ms / 1e3)
    day.redis_ops = max(day.redis_ops, calls_a_second * 3 + open_streams / RENEW)  # reserve, settle, leave; renewals
    day.openai_tokens = max(day.openai_tokens, calls_a_second * 60 * (PROMPT_TOKENS + TOKENS))


def _share(now: float) -> float:
    """Return the share of the day's calls in the second after `now`, interpolated between the hours."""
    at = now / 3600 - 0.5
    before, part = math.floor(at), at - math.floor(at)
    percent = HOURS[before % 24] * (1 - part) + HOURS[(before + 1) % 24] * part
    return percent / 100 / 3600


def _poisson(chance: random.Random, mean: float) -> int:
    """Return a number of arrivals; above some dozen by the normal distribution."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    left, count = math.exp(-mean), 0
    product = chance.random()
    while product > left:
        count += 1
        product *= chance.random()
    return count


def redis_nodes(day: Day) -> int:
    """Return the number of primaries: at the busiest moment each has at most `REDIS_LOADED` of load and `REDIS_MB`."""
    return max(1, math.ceil(day.redis_share / REDIS_LOADED), math.ceil(day.redis_mb / REDIS_MB))


def breaking_points(costs: Costs, calls_of_a_user: float) -> list[tuple[int, str]]:
    """Return the number of users a day at which each part has to grow, in order."""
    peak = max(HOURS) / 100 / 3600 * calls_of_a_user  # calls a second of a user, in the busiest hour
    pod_cores = WORKERS * CPU_TARGET / (costs.answer_ms / 1e3)  # calls a second of a pod
    points = [
        (pod_cores * 2 / peak, "two pods of two workers: the autoscaler starts a third"),
        (REDIS_LOADED * 1e3 / costs.redis_ms / peak, "one Redis: its one core is at 70 %; a Cluster, or a larger core"),
        (400e6 / costs.redis_bytes, "Redis' 400 MB of deploy/compose.yaml: raise maxmemory"),
        (pod_cores * 50 / peak, "50 pods (autoscaling.maxReplicas): raise it"),
        (PORTS * PACE / TOKENS / peak, f"one address towards OpenAI: {PORTS:,} connections; give the NAT another"),
        (REDIS_MB * 1e6 / costs.redis_bytes, f"one Redis: {REDIS_MB:,} MB; a Cluster, or more memory"),
        (1000 * REDIS_LOADED * 1e3 / costs.redis_ms / peak, "a Redis Cluster of 1,000 primaries, the most it supports"),
    ]
    return sorted((int(users), what) for users, what in points)
