"""The call ledger, read from three sources: the broker's counters, Redis and the stand-in for OpenAI."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn

COUNTED = 1e15  # the lowest score of a call that counts: see `broker.quota.scripts`
SOON = 5.0  # seconds within which the broker recovers after a fault


@dataclass(frozen=True)
class Ledger:
    """Numbers of calls. The first five are the broker's counters."""

    admitted: int
    settled: int
    given_back: int
    lapsed: int
    in_flight: int
    in_redis: int  # settled, according to Redis
    leased: int  # open, according to Redis
    reserved: int  # tokens, according to Redis
    answered: int  # calls that the stand-in for OpenAI began to answer

    def is_balanced(self, *, killed: bool, lost: int = 0) -> bool:
        """Admitted = settled + given back + lapsed + in flight, no call is open, and all sources agree.

        `killed`: a worker was killed. Its unfinished writes may show in one source only, and its reservations
        are leases that lapse. `lost`: answers of OpenAI that the broker never read, as the network forgot the
        connection or the client left meanwhile. Their calls are given back.
        """
        ends = self.settled + self.given_back + self.lapsed + self.in_flight
        return (
            self.admitted == ends
            and self.in_flight == 0
            and (killed or self.leased == self.lapsed == self.reserved == 0)
            and 0 <= self.in_redis - self.settled <= self.lapsed
            and 0 <= self.answered - self.settled <= self.lapsed + lost
        )


def read(broker: BrokerProcess, redis: Redis, openai: OpenAIStandIn) -> Ledger:
    """The current ledger. All three sources must have started empty together."""
    seen = scrape(broker)
    kept = {name: int(seen.get(name_of(f"gpt_broker_calls_{sample}"), 0)) for name, sample in COUNTERS.items()}
    scores = [score for key in redis.keys("*:calls:*") for _, score in redis.zrange(key, 0, -1, withscores=True)]
    settled = sum(score >= COUNTED or score == -math.inf for score in scores)  # -inf: given back by an operator
    leased = sum(0 < score < COUNTED for score in scores)
    reserved = sum(int(redis.hget(key, "rt") or 0) for key in redis.keys("*:amounts:*"))
    answered = sum(one.first_byte is not None for one in openai.completions())
    return Ledger(**kept, in_redis=settled, leased=leased, reserved=reserved, answered=answered)


@dataclass(frozen=True)
class Amounts:
    """Sums of tokens, or of nano-dollars. The first five are the broker's counters."""

    reserved: int
    exceeded: int  # charged beyond the reservation
    settled: int
    released: int
    lapsed: int
    charged_in_redis: int
    reserved_in_redis: int

    def is_balanced(self) -> bool:
        """Reserved = settled + released + lapsed, with no call in flight, and Redis agrees.

        The last writes of a killed worker may show in Redis only: those amounts are lapsed for the broker.
        """
        ends = self.settled + self.released + self.lapsed
        unnoted = self.charged_in_redis - self.settled
        return self.reserved + self.exceeded == ends and self.reserved_in_redis == 0 and 0 <= unnoted <= self.lapsed


def read_amounts(broker: BrokerProcess, redis: Redis) -> tuple[Amounts, Amounts]:
    """The current sums of tokens and of nano-dollars. Broker and Redis must have started empty together."""
    seen, keys = scrape(broker), redis.keys("*:amounts:*")

    def sums(unit: str, factor: int, charged: str) -> Amounts:
        name = f"gpt_broker_budget_{unit}_total"
        states = ("reserved", "exceeded", "settled", "released", "lapsed")
        counters = [round(factor * seen.get(name_of(name, state=state), 0.0)) for state in states]
        return Amounts(
            *counters, *(sum(int(redis.hget(key, f) or 0) for key in keys) for f in (charged, f"r{charged}"))
        )

    return sums("tokens", 1, "t"), sums("dollars", 10**9, "n")


COUNTERS = {
    "admitted": "admitted_total",
    "settled": "settled_total",
    "given_back": "given_back_total",
    "lapsed": "lapsed_total",
    "in_flight": "in_flight",
}


def wait_until_balanced(read_ledger: Callable[[], Ledger], *, killed: bool, lost: int = 0) -> Ledger:
    """The ledger once it is balanced; fails and shows it after 5 s. `killed`, `lost`: see `Ledger.is_balanced`."""
    end = time.monotonic() + SOON
    while not (ledger := read_ledger()).is_balanced(killed=killed, lost=lost):
        assert time.monotonic() < end, ledger
        time.sleep(0.05)
    return ledger


def scrape(broker: BrokerProcess) -> dict[str, float]:
    """All samples of /metrics by name and labels (see `name_of`)."""
    text = requests.get(broker.url + "/metrics", timeout=30).text  # workers may be busy
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {name_of(sample.name, **sample.labels): sample.value for sample in samples}


def name_of(name: str, **labels: str) -> str:
    """The key of a sample: its name and its labels."""
    return name + json.dumps(labels, sort_keys=True)
