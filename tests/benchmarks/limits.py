"""Figure 10: the cost of a call and a token with limits in tokens and money, beside the same broker without them.

Both brokers run at once on the contestant's processor and are measured in turns, so that a disturbance affects both.
"""

import statistics
from collections.abc import Iterator
from dataclasses import replace

from tests.benchmarks import figures
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.surroundings import Surroundings

Values = dict[str, float]
LIMITS = {"DAILY_TOKENS": "1000000000000", "DAILY_SPEND": "1000000", "TENANT_DAILY_SPEND": "9000000"}
WITHOUT, WITH = "calls only", "tokens, money and the tenant's budget"
TURNS = 5


def costs(around: Surroundings, sizes: Sizes, times: int = TURNS) -> Iterator[tuple[str, Values]]:
    """Yield the median costs without and with limits, and the median ratio of the turns."""
    short = replace(sizes, call_seconds=sizes.call_seconds / 2, stream_tokens=sizes.stream_tokens // 4, clump=1)
    turns: list[tuple[Values, Values]] = []
    with around.broker() as plain, around.broker(more=LIMITS) as limited:
        for broker in (plain, limited):
            figures.warm_up(around, broker, sizes)
        for number in range(times):
            order = (plain, limited) if number % 2 else (limited, plain)
            measured = {broker: _measure(around, broker, short) for broker in order}
            turns.append((measured[plain], measured[limited]))
    yield WITHOUT, _medians([turn[0] for turn in turns])
    ratios = [{f"{name}_ratio": turn[1][name] / turn[0][name] for name in turn[0]} for turn in turns]
    yield WITH, _medians([turn[1] for turn in turns]) | _medians(ratios)


def _measure(around: Surroundings, broker: Contestant, sizes: Sizes) -> Values:
    call = figures.calls(around, broker, sizes)
    token = figures.streams(around, broker, sizes)["processor_us"]
    return {"call_ms": call["processor_ms"] + call["redis_ms"], "redis_ms": call["redis_ms"], "processor_us": token}


def _medians(turns: list[Values]) -> Values:
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
