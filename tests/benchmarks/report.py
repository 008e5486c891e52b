"""The results as tables in Markdown."""

import statistics
from collections.abc import Iterator

from tests.benchmarks.columns import CONNECTIONS, GROWTH, LIMITS, TABLES, Column, Table
from tests.benchmarks.course import CONTESTANTS
from tests.benchmarks.goals import GOALS, Goal
from tests.benchmarks.rounds import Rounds

NAMES = {
    "direct": "straight to the stand-in",
    "nginx": "nginx",
    "broker": "**broker**",
    "plain": "plain prototype",
    "litellm": "LiteLLM",
    "nginx-tcp": "nginx, plain TCP",
    "broker-tcp": "broker, plain TCP",
}


def text(rounds: Rounds) -> str:
    """Return all tables."""
    return "\n".join(_lines(rounds)) + "\n"


def _lines(rounds: Rounds) -> Iterator[str]:
    yield "# Results\n"
    yield f"Written by `make bench`: median (lowest–highest) over {len(rounds.rounds)} rounds. [Method](../README.md)."
    yield f"The machine's load before each round: {', '.join(f'{load:.1f}' for load in rounds.machine_load)}."
    for note in rounds.notes:
        yield f"\n{note}."
    yield "\n![The main figures](plot.png)"
    yield from _goals(rounds)
    for table in TABLES:
        yield from _table(rounds, table)
    yield from _cases(rounds, "7 · The broker's cost as load grows", GROWTH)
    yield from _cases(rounds, "9 · Connections to OpenAI, with a round trip of 30 ms between", CONNECTIONS)
    yield from _cases(rounds, "10 · Limits in tokens and money", LIMITS)
    yield "\n## Versions\n"
    yield ", ".join(f"{name} {version}" for name, version in rounds.versions.items())


def _goals(rounds: Rounds) -> Iterator[str]:
    yield "\n## Against the goals\n"
    yield (
        "| | nginx | **broker** | broker, plain TCP | plain | LiteLLM | broker / nginx | plain / broker "
        "| LiteLLM / broker | must | aim |"
    )
    yield "|---" * 11 + "|"
    for goal in GOALS:
        yield _goal(rounds, goal)


def _goal(rounds: Rounds, goal: Goal) -> str:
    column = goal.column
    figures = dict.fromkeys(("nginx", "broker", "broker-tcp", "plain"), goal.figure) | {"litellm": goal.figure_of_peer}
    of = {name: _series(rounds, figure, name, column) for name, figure in figures.items()}
    cells = [cell([value for value in values if value is not None], column.digits) for values in of.values()]
    pairs = (("broker", "nginx"), ("plain", "broker"), ("litellm", "broker"))
    ratios = [cell(_ratios(of[above], of[below]), 1) for above, below in pairs]
    return f"| {column.heading} | " + " | ".join([*cells, *ratios, goal.shown(goal.must), goal.shown(goal.aim)]) + " |"


def _series(rounds: Rounds, figure: str, name: str, column: Column) -> list[float | None]:
    series = rounds.added_series if column.is_added else rounds.series
    return series(figure, name, column.quantity)


def _ratios(above: list[float | None], below: list[float | None]) -> list[float]:
    """Return ratios within each round, as disturbances affect both values."""
    return [one / other for one, other in zip(above, below, strict=True) if one is not None and other]


def _table(rounds: Rounds, table: Table) -> Iterator[str]:
    among = [name for name in CONTESTANTS if any(take(rounds, table.figure, name, one) for one in table.columns)]
    if among:
        yield f"\n## {table.title}\n"
        yield from _head(table.columns)
        for name in among:
            yield _row(rounds, NAMES[name], (table.figure, name), table.columns)


def _cases(rounds: Rounds, title: str, columns: tuple[Column, ...]) -> Iterator[str]:
    """Yield the table of a figure of the broker with a row for each case. The title begins with the figure's number."""
    prefix = f"{title.partition(' ')[0]} with "
    figures = [figure for figure in (rounds.rounds[0] if rounds.rounds else ()) if figure.startswith(prefix)]
    if figures:
        yield f"\n## {title}\n"
        yield from _head(columns)
        for figure in figures:
            yield _row(rounds, figure.removeprefix(prefix), (figure, "broker"), columns)


def _head(columns: tuple[Column, ...]) -> Iterator[str]:
    yield "| | " + " | ".join(column.heading for column in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"


def _row(rounds: Rounds, name: str, place: tuple[str, str], columns: tuple[Column, ...]) -> str:
    cells = (cell(take(rounds, *place, column), column.digits) for column in columns)
    return f"| {name} | " + " | ".join(cells) + " |"


def take(rounds: Rounds, figure: str, name: str, column: Column) -> list[float]:
    """Return a column's values by round."""
    values = rounds.added if column.is_added else rounds.values
    return values(figure, name, column.quantity)


def cell(values: list[float], digits: int) -> str:
    """Return "median (lowest–highest)", or a dash."""
    if not values:
        return "–"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low}–{high})"
