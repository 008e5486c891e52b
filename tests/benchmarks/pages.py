"""Where results are written: beside each other, and into the benchmarks' own README."""

import contextlib
import re
from pathlib import Path

from tests.benchmarks import capacity, day_page, plot, report
from tests.benchmarks.rounds import FILE, Rounds

README = Path(__file__).parent / "README.md"
_BLOCK = re.compile(r"(?<=<!-- capacity: written by make bench -->\n).*?(?=<!-- end -->)", re.DOTALL)


def write(rounds: Rounds) -> None:
    """Write the numbers, the tables, the plot, and the table for operators."""
    rounds.save()
    FILE.with_name("README.md").write_text(report.text(rounds))
    plot.draw(rounds, FILE.with_name("plot.png"))
    README.write_text(_BLOCK.sub(lambda _: capacity_text(rounds), README.read_text()))
    with contextlib.suppress(ValueError):  # not all figures were measured
        day_page.write(rounds)


def capacity_text(rounds: Rounds) -> str:
    """What stands in README.md between its two marks."""
    try:
        return "\n".join(capacity.lines(rounds)) + "\n"
    except ValueError:  # not all figures were measured
        return "Not measured.\n"


def written_capacity() -> str:
    """What stands there now."""
    found = _BLOCK.search(README.read_text())
    return found[0] if found else ""
