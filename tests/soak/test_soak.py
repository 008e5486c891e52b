"""A short soak test: a leak per call shows within seconds."""

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
    """After hundreds of calls and every fault, files, greenlets, connections and keys are as before."""
    assert growth(short_run.before, short_run.after) == []
    assert short_run.imbalance == ""


@pytest.mark.integration
def test_the_run_made_every_kind_of_call(short_run: Run) -> None:
    """Every kind of call was made, many more times than the growth that is allowed."""
    seen = short_run.outcomes
    assert short_run.after.answered - short_run.before.answered > 100
    assert seen["200"] > 50
    assert seen["left"] > 20
    assert seen["forged 401"] > 10
    assert sum(count for what, count in seen.items() if what.startswith("nonsense 4")) > 5
    assert {"failure 502", "failure 504"} <= seen.keys()
    assert not [what for what in seen if "500" in what]


@pytest.mark.parametrize("grown", [{"files": 75}, {"greenlets": 40}, {"upstream": 20}, {"keys": 40}, {"memory": 48.0}])
def test_growth_is_reported(grown: dict[str, float]) -> None:
    """Growth is reported with both values; small variations are not."""
    assert growth(QUIET, replace(QUIET, memory=41.5, files=61, redis=1.9, answered=2000)) == []
    (reported,) = growth(QUIET, replace(QUIET, **grown))  # type: ignore[arg-type]
    assert str(float(next(iter(grown.values())))) in reported


def test_the_table_has_both_states() -> None:
    """The table shows both samples."""
    assert "| open files of all workers | 60 | 70 |" in table(QUIET, replace(QUIET, files=70))
