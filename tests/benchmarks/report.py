"""The results as tables in Markdown, and as a plot."""

import statistics
from collections.abc import Iterator

from tests.benchmarks.columns import TABLES, Column, Table
from tests.benchmarks.course import CONTESTANTS
from tests.benchmarks.rounds import FILE, Rounds

NAMES = {"direct": "straight to the stand-in", "nginx": "nginx", "broker": "**broker**", "litellm": "LiteLLM"}


def write(rounds: Rounds) -> None:
    """Write the tables and the plot beside the results."""
    (FILE.parent / "README.md").write_text(text(rounds))


def text(rounds: Rounds) -> str:
    """All tables."""
    return "\n".join(_lines(rounds)) + "\n"


def _lines(rounds: Rounds) -> Iterator[str]:
    yield "# Results"
    yield ""
    yield f"Written by `make bench`: median (lowest–highest) over {len(rounds.rounds)} rounds. [How](../README.md)."
    for note in rounds.notes:
        yield f"\n{note}."
    for table in TABLES:
        yield from _table(rounds, table)


def _table(rounds: Rounds, table: Table) -> Iterator[str]:
    among = [name for name in CONTESTANTS if any(_values(rounds, table, name, column) for column in table.columns)]
    if not among:
        return
    yield f"\n## {table.title}\n"
    yield "| | " + " | ".join(column.heading for column in table.columns) + " |"
    yield "|---" * (len(table.columns) + 1) + "|"
    for name in among:
        cells = (cell(_values(rounds, table, name, column), column.digits) for column in table.columns)
        yield f"| {NAMES[name]} | " + " | ".join(cells) + " |"


def _values(rounds: Rounds, table: Table, name: str, column: Column) -> list[float]:
    take = rounds.added if column.is_added else rounds.values
    return take(table.figure, name, column.quantity)


def cell(values: list[float], digits: int) -> str:
    """Median (lowest–highest), or a dash."""
    if not values:
        return "–"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"
