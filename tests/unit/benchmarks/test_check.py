"""A regression is a change of a ratio to nginx, so a slower machine is no regression."""

from tests.benchmarks.check import regressions
from tests.benchmarks.rounds import Rounds


def rounds(*calls: tuple[float, float], stream_kb: float = 30.0) -> Rounds:
    """Rounds in which nginx and the broker took so much for a call."""
    return Rounds(
        rounds=[
            {
                "1": {"nginx": {"processor_ms": floor}, "broker": {"processor_ms": broker}},
                "5 at 1000": {"nginx": {"stream_kb": 15.0}, "broker": {"stream_kb": stream_kb}},
            }
            for floor, broker in calls
        ]
    )


def test_a_slower_machine_is_no_regression() -> None:
    """Everything takes three times as long, and the ratio is the same."""
    assert list(regressions(rounds((0.06, 2.4)), rounds((0.02, 0.8)))) == []


def test_more_than_a_tenth_is_said_for_each_ratio() -> None:
    """The median over the rounds counts, not the worst."""
    committed = rounds((0.02, 0.8))
    assert list(regressions(rounds((0.02, 0.8), (0.02, 0.87), (0.02, 2.0)), committed)) == []
    assert list(regressions(rounds((0.02, 0.9), stream_kb=36.0), committed)) == [
        "processor time of a whole call: 45.00 × nginx, and 40.00 × in the committed results",
        "memory of an open stream: 2.40 × nginx, and 2.00 × in the committed results",
    ]


def test_missing_measurements_are_not_compared() -> None:
    """A run of one figure says nothing of the others."""
    assert list(regressions(Rounds(rounds=[{}]), rounds((0.02, 0.8)))) == []
