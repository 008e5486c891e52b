"""The written results: `results/`, the table in the benchmarks' README, and the figures in the project's README."""

import contextlib
import re
import statistics
from pathlib import Path

from deploy.local.broker_process import ROOT
from tests.benchmarks import capacity, day_page, plot, report
from tests.benchmarks.columns import Column
from tests.benchmarks.rounds import FILE, Rounds

README = Path(__file__).parent / "README.md"
PROJECT_README = ROOT / "README.md"
OPEN = "5 at 3000"
_FIGURE = re.compile(r"(?<=\*\*)[\d.]+(?= (ms|µs|KB)\*\*)")
_TIMES = re.compile(r"\d+(?= times (?:as much )?for a (call|token|stream))")
_BLOCK = re.compile(r"(?<=<!-- capacity: written by make bench -->\n).*?(?=<!-- end -->)", re.DOTALL)


def write(rounds: Rounds) -> None:
    """Write the numbers, the tables, the plot and the capacity table."""
    rounds.save()
    FILE.with_name("README.md").write_text(report.text(rounds))
    plot.draw(rounds, FILE.with_name("plot.png"))
    README.write_text(_BLOCK.sub(lambda _: capacity_text(rounds), README.read_text()))
    with contextlib.suppress(ValueError):  # not all figures were measured
        PROJECT_README.write_text(with_figures(PROJECT_README.read_text(), rounds))
        day_page.write(rounds)


def with_figures(readme: str, rounds: Rounds) -> str:
    """Return the project's README with the three main figures, and LiteLLM's as multiples of them.

    Raises ValueError if one was not measured.
    """
    added = report.take(rounds, "2", "broker", Column("p50_ms", "", is_added=True))
    figures = {
        "ms": f"{statistics.median(added):.2f}",
        "µs": f"{rounds.median('3', 'broker', 'processor_us'):.0f}",
        "KB": f"{rounds.median(OPEN, 'broker', 'stream_kb'):.0f}",
    }
    places = {
        "call": ("1", "processor_ms", "1"),
        "token": ("3", "processor_us", "3"),
        "stream": (OPEN, "stream_kb", "5 at 100"),
    }
    times = {
        name: f"{rounds.median(peers, 'litellm', quantity) / rounds.median(figure, 'broker', quantity):.0f}"
        for name, (figure, quantity, peers) in places.items()
    }
    return _TIMES.sub(lambda found: times[found[1]], _FIGURE.sub(lambda found: figures[found[1]], readme))


def capacity_text(rounds: Rounds) -> str:
    """Return the capacity section between the two marks of README.md."""
    try:
        return "\n".join(capacity.lines(rounds)) + "\n"
    except ValueError:  # some figures are missing
        return "Not measured.\n"


def written_capacity() -> str:
    """Return the current section."""
    found = _BLOCK.search(README.read_text())
    return found[0] if found else ""
