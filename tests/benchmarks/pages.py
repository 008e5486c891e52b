"""The written results: `results/` and the table in the benchmarks' README."""

import contextlib
import re
from pathlib import Path

from tests.benchmarks import capacity, day_page, plot, report
from tests.benchmarks.rounds import FILE, Rounds

README = Path(__file__).parent / "README.md"
_BLOCK = re.compile(r"(?<=<!-- capacity: written by make bench -->\n).*?(?=<!-- end -->)", re.DOTALL)


def write(rounds: Rounds) -> None:
    """Write the numbers, the tables, the plot and the capacity table."""
    rounds.save()
    FILE.with_name("README.md").write_text(report.text(rounds))
    plot.draw(rounds, FILE.with_name("plot.png"))
    README.write_text(_BLOCK.sub(lambda _: capacity_text(rounds), README.read_text()))
    with contextlib.suppress(ValueError):  # not all figures were measured
        day_page.write(rounds)


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
