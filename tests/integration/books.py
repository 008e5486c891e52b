"""The ledger, looked at from three sides: the broker's counters, Redis, and what OpenAI saw."""

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

SOON = 5.0  # seconds after the end of a fault in which all is well again


@dataclass(frozen=True)
class Books:
    """Calls: as the broker has counted them, as Redis holds them, and as OpenAI began to answer them."""

    admitted: int
    settled: int
    given_back: int
    lapsed: int
    in_flight: int
    in_redis: int  # settled
    leased: int  # still open, in Redis
    answered: int

    def balance(self, *, killed: bool) -> bool:
        """Admitted = settled + given back + lapsed + in flight; nothing is open; and all three sides agree.

        What a worker was about to write down when it was killed may be on one side only, and what it was
        reserving is a lease that lapses.
        """
        ends = self.settled + self.given_back + self.lapsed + self.in_flight
        sides = (self.in_redis - self.settled, self.answered - self.settled)
        return (
            self.admitted == ends
            and self.in_flight == 0
            and (killed or self.leased == self.lapsed == 0)
            and all(0 <= more <= self.lapsed for more in sides)
        )


def read(broker: BrokerProcess, redis: Redis, openai: OpenAIStandIn) -> Books:
    """The books as they stand; all three began empty together."""
    seen = scrape(broker)
    kept = {name: int(seen.get(name_of(f"gpt_broker_calls_{sample}"), 0)) for name, sample in COUNTERS.items()}
    scores = [score for key in redis.keys("*:calls:*") for _, score in redis.zrange(key, 0, -1, withscores=True)]
    settled = scores.count(math.inf)
    answered = sum(one.first_byte is not None for one in openai.completions())
    return Books(**kept, in_redis=settled, leased=len(scores) - settled, answered=answered)


COUNTERS = {
    "admitted": "admitted_total",
    "settled": "settled_total",
    "given_back": "given_back_total",
    "lapsed": "lapsed_total",
    "in_flight": "in_flight",
}


def settle_up(read_them: Callable[[], Books], *, killed: bool) -> Books:
    """The books once they balance; fails, and shows them, if they do not within 5 s. `killed`: a worker was."""
    end = time.monotonic() + SOON
    while not (books := read_them()).balance(killed=killed):
        assert time.monotonic() < end, books
        time.sleep(0.05)
    return books


def scrape(broker: BrokerProcess) -> dict[str, float]:
    """Every sample, by its name and labels."""
    text = requests.get(broker.url + "/metrics", timeout=5).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {name_of(sample.name, **sample.labels): sample.value for sample in samples}


def name_of(name: str, **labels: str) -> str:
    """A sample's name with its labels."""
    return name + json.dumps(labels, sort_keys=True)
