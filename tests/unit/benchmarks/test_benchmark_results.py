"""The documents show the committed results."""

import re
import statistics
from pathlib import Path

import pytest

from tests.benchmarks import pages, report
from tests.benchmarks.columns import Column
from tests.benchmarks.rounds import FILE, Rounds

ROOT = Path(__file__).parents[3]


@pytest.fixture
def results() -> Rounds:
    """The committed results."""
    return Rounds.load()


def test_the_tables_are_those_of_the_results(results: Rounds) -> None:
    """Tables and results were written together."""
    assert FILE.with_name("README.md").read_text() == report.text(results)
    assert FILE.with_name("plot.png").stat().st_size > 10_000


def test_the_capacity_table_is_worked_out_from_the_results(results: Rounds) -> None:
    """The capacity table follows from the measurements."""
    assert pages.written_capacity() == pages.capacity_text(results)
    assert "| 10,000,000 |" in pages.written_capacity()


def test_every_round_of_the_results_has_every_figure(results: Rounds) -> None:
    """Every figure has a lowest, a median and a highest value."""
    figures = {figure for one in results.rounds for figure in one}

    assert {"1", "2", "3", "4", "5 at 1000", "5 at 3000", "6", "7 with 1000000 users"} <= figures
    assert all(one.keys() == results.rounds[0].keys() for one in results.rounds)


def test_the_readme_shows_the_three_main_figures_as_measured(results: Rounds) -> None:
    """The figures of the README are those of the results."""
    told = re.findall(r"\*\*([\d.]+) (ms|µs|KB)\*\*", (ROOT / "README.md").read_text())
    added = Column("p50_ms", "", 2, is_added=True)

    assert told == [
        (f"{statistics.median(report.take(results, '2', 'broker', added)):.2f}", "ms"),
        (f"{results.median('3', 'broker', 'processor_us'):.0f}", "µs"),
        (f"{results.median('5 at 3000', 'broker', 'stream_kb'):.0f}", "KB"),
    ]
