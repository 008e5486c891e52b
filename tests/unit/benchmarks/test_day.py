"""The simulated day, and the autoscaler's rules in it."""

import pytest
import yaml

from broker.settings.settings import Settings
from tests.apps import REQUIRED
from tests.benchmarks import day, day_page
from tests.benchmarks.autoscaler import (
    DOWN_EVERY,
    DOWN_PODS,
    DOWN_SHARE,
    STABLE,
    SYNC,
    UP_EVERY,
    UP_PODS,
    UP_SHARE,
    Autoscaler,
    Target,
)
from tests.benchmarks.capacity import Costs
from tests.benchmarks.day import HOURS, breaking_points, redis_nodes, simulate
from tests.benchmarks.rounds import Rounds
from tests.unit.deploy import test_kubernetes_chart as chart

COSTS = Costs(call_ms=1.0, token_us=60.0, redis_ms=0.15, stream_kb=32.0, worker_mb=66.0, redis_bytes=512.0)
START = 60.0
_WAYS = ("scaleUp", "scaleDown")


def scaler(ready: int = 2) -> Autoscaler:
    return Autoscaler(Target(streams=100, cores=1.4, least=2, most=50), START, drain_s=635.0, ready=ready)


def run(pods: Autoscaler, seconds: float, streams: float, begin: float = 0.0) -> float:
    """Take steps with this load; return the time after them."""
    now = begin
    while now < begin + seconds:
        pods.step(now, streams, 0.0)
        now += SYNC
    return now


def test_a_load_within_a_tenth_of_the_target_changes_nothing() -> None:
    """The algorithm has this tolerance."""
    pods = scaler(ready=10)
    run(pods, 3600, 1090)
    assert pods.pods == 10


def test_more_load_starts_pods_at_most_twice_as_many_in_half_a_minute() -> None:
    """The maximum is double or four more, whichever is larger. Pods take calls once they have started."""
    pods = scaler(ready=10)
    pods.step(0, 5000, 0.0)
    assert (pods.ready, pods.pods) == (10, 20)
    run(pods, 3 * START, 5000, SYNC)
    assert pods.ready == 50


def test_less_load_ends_pods_only_after_ten_minutes_and_then_two_a_minute() -> None:
    """The stabilization window and the smaller of the two policies apply."""
    pods = scaler(ready=40)
    run(pods, 30, 4000)
    now = run(pods, STABLE - SYNC, 0, 30)
    assert pods.pods == 40
    run(pods, DOWN_EVERY * 5, 0, now)
    assert 40 - 2 * 6 <= pods.pods <= 40 - 2 * 4
    assert pods.running == 40


def test_pods_never_fall_below_the_minimum() -> None:
    """There are two, so that one may fail."""
    pods = scaler(ready=4)
    run(pods, 3 * 3600, 0)
    assert pods.pods == pods.running == 2


def test_the_rules_are_those_of_the_chart() -> None:
    """Targets, grace, the autoscaler's steps and windows, and the longest call."""
    objects = chart.rendered(chart.LEAST)
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    up, down = (chart.of_kind(objects, "HorizontalPodAutoscaler")["spec"]["behavior"][way] for way in _WAYS)
    steps = [{one["type"]: (one["periodSeconds"], one["value"]) for one in way["policies"]} for way in (up, down)]

    assert (values["workers"], values["autoscaling"]["streamsPerPod"]) == (day.WORKERS, day.STREAMS_TARGET)
    assert values["autoscaling"]["cpu"] == day.CPU_TARGET * 100
    assert chart.broker_pod(objects)["terminationGracePeriodSeconds"] == day.GRACE
    assert Settings.from_environ(REQUIRED).openai_call_timeout == day.LONGEST
    assert steps[0] == {"Percent": (UP_EVERY, UP_SHARE * 100), "Pods": (UP_EVERY, UP_PODS)}
    assert steps[1] == {"Percent": (DOWN_EVERY, DOWN_SHARE * 100), "Pods": (DOWN_EVERY, DOWN_PODS)}
    assert (up["selectPolicy"], down["selectPolicy"]) == ("Max", "Min")
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, STABLE)


def test_a_day_has_the_calls_that_its_users_make() -> None:
    """The curve's shares add up to the day, and arrivals follow the curve."""
    one = simulate(100_000, 10, COSTS)

    assert sum(HOURS) == pytest.approx(100)
    assert one.calls == pytest.approx(1_000_000, rel=0.01)
    assert one.cut == 0
    # three commands a call in the busiest second, and a renewal each 15 s of an open one
    busiest = 1_000_000 * max(HOURS) / 100 / 3600
    assert busiest * 3 <= one.redis_ops <= busiest * 3 * 1.6


def test_ten_million_users_are_carried_without_a_wait() -> None:
    """The autoscaler is ahead of the morning, and one Redis is enough or more are named."""
    one = simulate(10_000_000, 10, COSTS)

    assert one.overloaded == 0
    assert max(one.pods) > 4 * min(one.pods)
    assert redis_nodes(one) == 2  # for its memory
    assert one.redis_share < 0.7
    assert one.core_hours < max(one.pods) * 2 * 24 * 0.8


def test_breaking_points_are_in_order() -> None:
    """Dearer calls lower the pods' breaking points; those of Redis and of the network stay."""
    cheap = {what: users for users, what in breaking_points(COSTS, 10)}
    dear = {what: users for users, what in breaking_points(Costs(2.0, 120.0, 0.15, 32.0, 66.0, 512.0), 10)}

    assert list(cheap.values()) == sorted(cheap.values())
    assert all(
        dear[what] == users if "Redis" in what or "address" in what else dear[what] < users
        for what, users in cheap.items()
    )


def test_the_page_is_worked_out_from_the_results() -> None:
    """`python -m tests.benchmarks.day_page` was run after the last measurement."""
    costs = Costs.of(Rounds.load())

    assert day_page.PAGE.read_text() == day_page.text(costs, day_page.simulated(costs))
    assert "| 10,000,000 | 10 |" in day_page.PAGE.read_text()
    assert day_page.PICTURE.stat().st_size > 10_000
