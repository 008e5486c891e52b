"""The long run, in short: what leaks with each call shows within seconds."""

from dataclasses import replace

import pytest

from tests.soak.course import Run, run
from tests.soak.meter import Sample
from tests.soak.report import growth, table

QUIET = Sample(60, 40.0, 60.0, 60, 30, 2, 8, 30, 1.2, 1000)


@pytest.fixture(scope="module")
def short_run() -> Run:
    return run(16.0, warm_up=7.0, rest=2.5)


@pytest.mark.integration
def test_nothing_grows_with_the_number_of_calls(short_run: Run) -> None:
    """Hundreds of calls, many left, cut or refused, and every fault: files, greenlets, connections, keys stay."""
    assert growth(short_run.before, short_run.after) == []
    assert short_run.imbalance == ""


@pytest.mark.integration
def test_the_run_was_no_walk_in_the_park(short_run: Run) -> None:
    """Every kind of client came by, and far more of them than may be left of anything."""
    seen = short_run.outcomes
    assert short_run.after.answered - short_run.before.answered > 100
    assert seen["200"] > 50
    assert seen["left"] > 20
    assert seen["forged 401"] > 10
    assert sum(count for what, count in seen.items() if what.startswith("nonsense 4")) > 5
    assert {"mood 502", "mood 504"} <= seen.keys()
    assert not [what for what in seen if "500" in what]


@pytest.mark.parametrize("grown", [{"files": 75}, {"greenlets": 40}, {"upstream": 20}, {"keys": 40}, {"memory": 48.0}])
def test_growth_is_told(grown: dict[str, float]) -> None:
    """Of every figure, with both its values; a little unrest is none."""
    assert growth(QUIET, replace(QUIET, memory=41.5, files=61, redis=1.9, answered=2000)) == []
    (told,) = growth(QUIET, replace(QUIET, **grown))  # type: ignore[arg-type]
    assert str(float(next(iter(grown.values())))) in told


def test_the_table_has_both_states() -> None:
    """After the warm-up, and at the end."""
    assert "| open files of all workers | 60 | 70 |" in table(QUIET, replace(QUIET, files=70))
