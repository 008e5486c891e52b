"""The documents show the committed results."""

import re

import pytest

from tests.benchmarks import pages, report
from tests.benchmarks.rounds import FILE, Rounds


@pytest.fixture
def results() -> Rounds:
    """The committed results."""
    return Rounds.load()


def test_the_tables_are_those_of_the_results(results: Rounds) -> None:
    """Tables and results were written together."""
    assert FILE.with_name("README.md").read_text() == report.text(results)
    assert FILE.with_name("plot.png").stat().st_size > 10_000


def test_the_capacity_table_follows_from_the_results(results: Rounds) -> None:
    """The capacity table follows from the measurements."""
    assert pages.written_capacity() == pages.capacity_text(results)
    assert "| 10,000,000 |" in pages.written_capacity()


def test_every_round_of_the_results_has_every_figure(results: Rounds) -> None:
    """Every figure has a lowest, a median and a highest value."""
    figures = {figure for one in results.rounds for figure in one}

    assert {"1", "2", "3", "4", "5 at 1000", "5 at 3000", "6", "7 with 1000000 users"} <= figures
    assert all(one.keys() == results.rounds[0].keys() for one in results.rounds)


def test_the_readme_shows_the_main_figures_as_measured(results: Rounds) -> None:
    """The figures of the README are those of the results, and there are six."""
    readme = pages.PROJECT_README.read_text()

    assert readme == pages.with_figures(readme, results)
    assert re.findall(r"\*\*[\d.]+ (ms|µs|KB)\*\*|\d+ times (?:as much )?for a (\w+)", readme) == [
        ("ms", ""), ("µs", ""), ("KB", ""), ("", "call"), ("", "token"), ("", "stream"),
    ]  # fmt: skip


def test_figures_are_written_into_the_readme() -> None:
    """Everything else of the text stays as it is."""
    values = {"p50_ms": 1.3, "processor_us": 60.4, "processor_ms": 1.2, "stream_kb": 48.0}
    peer = {"p50_ms": 30.0, "processor_us": 906.0, "processor_ms": 18.0, "stream_kb": 1200.0}
    one = {figure: {"direct": {"p50_ms": 0.1}, "broker": values, "litellm": peer} for figure in ("1", "2", "3")}
    rounds = Rounds(rounds=[{**one, pages.OPEN: {"broker": values}, "5 at 100": {"litellm": peer}}])

    assert pages.with_figures(
        "**9.99 ms**, **1 µs**, **1 KB**; 1 times as much for a call, 1 times for a token, 1 times for a stream; 7 ms",
        rounds,
    ) == (
        "**1.20 ms**, **60 µs**, **48 KB**; 15 times as much for a call, 15 times for a token, "
        "25 times for a stream; 7 ms"
    )  # fmt: skip
