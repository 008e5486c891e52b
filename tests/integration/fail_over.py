"""Measures a fail-over of Redis under load: how long calls are refused, and whether the counts are right after it."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis

from deploy.local.broker_process import BrokerProcess
from tests.integration import ledger
from tests.integration.conftest import User
from tests.integration.load import Answer, Load
from tests.integration.waiting import within

SOON = 5.0  # seconds after the new primary is known within which all calls are served
WINDOW = 1.0  # seconds before the fault whose writes asynchronous replication may lose


@dataclass(frozen=True)
class Outcome:
    """Times are in seconds: from the fault until a new primary is known, and from then until the last refusal."""

    unknown: float
    refused_after: float
    codes: frozenset[str]  # of all answers
    served: int
    refused: int
    at_risk: int  # calls that ended in the last moment before the fault
    lost: int  # served calls that no primary has
    doubled: int  # counted calls that no user was served
    meanwhile: int  # served between the fault and the new primary
    counters: dict[str, int]

    @property
    def is_balanced(self) -> bool:
        """Admitted = settled + given back; every call that was served has been settled, once."""
        counters = self.counters
        ends = counters["settled"] + counters["given_back"]
        return counters["admitted"] == ends and counters["settled"] == self.served and self.doubled == 0

    def __str__(self) -> str:
        return (
            f"new primary known after {self.unknown:.1f} s, last refusal {self.refused_after:.1f} s later, "
            f"{self.refused} calls refused; {self.lost} of {self.served} settled calls lost, "
            f"{self.at_risk} were at risk, {self.doubled} counted twice"
        )


def drill(
    broker: BrokerProcess,
    users: Sequence[User],
    fault: Callable[[], None],
    wait_for_new: Callable[[], float],
    primaries: Callable[[], Sequence[Redis]],
) -> Outcome:
    """Load the broker, cause the fault, and look at what it cost. `wait_for_new` returns when the primary is known."""
    with Load(users) as load:
        time.sleep(1)
        fault()
        began = time.monotonic()
        known = wait_for_new()
        within(SOON + 5, lambda: all(user.post("/gpt-4o", {}).status_code == 400 for user in users))
        within(10, lambda: sum(answer.is_good and answer.began > known for answer in load.answers) > 20)
    within(15, lambda: _call_counters(broker)["in_flight"] == 0)  # what the write queue holds is no loss
    return _outcome(load.answers, (began, known), _counted(primaries()), _call_counters(broker))


def _outcome(
    answers: Sequence[Answer], times: tuple[float, float], counted: Counter[str], counters: dict[str, int]
) -> Outcome:
    began, known = times
    good = [answer for answer in answers if answer.is_good]
    served = Counter(answer.user for answer in good)
    refused = [answer.began for answer in answers if not answer.is_good]
    return Outcome(
        unknown=known - began,
        refused_after=max(0.0, max(refused, default=known) - known),
        codes=frozenset(answer.code for answer in answers),
        served=len(good),
        refused=len(refused),
        at_risk=sum(began - WINDOW < answer.began + answer.seconds < began + 0.2 for answer in good),
        lost=(served - counted).total(),
        doubled=(counted - served).total(),
        meanwhile=sum(began < answer.began < known for answer in good),
        counters=counters,
    )


def _counted(primaries: Sequence[Redis]) -> Counter[str]:
    """Calls that count, by user, over all primaries."""
    counted: Counter[str] = Counter()
    for client in primaries:
        for key in client.keys("*:calls:*"):
            user = key.decode().partition("}")[0].rpartition(":")[2]
            counted[user] += client.zcount(key, ledger.COUNTED, "+inf")
    return counted


def _call_counters(broker: BrokerProcess) -> dict[str, int]:
    seen = ledger.scrape(broker)
    return {
        name: int(seen.get(ledger.name_of(f"gpt_broker_calls_{sample}"), 0)) for name, sample in ledger.COUNTERS.items()
    }
