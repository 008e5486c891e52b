"""A plot of the main figures: bars for medians, lines from the lowest to the highest round."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.columns import Column
from tests.benchmarks.goals import GOALS, Goal
from tests.benchmarks.report import take
from tests.benchmarks.rounds import Rounds

COLOURS = {"nginx": "#9aa5b1", "broker": "#1f77b4", "plain": "#c9a66b", "litellm": "#d98880", "broker-tcp": "#aec7e8"}
STREAMS = (("7 with 10 streams", 10), ("7 with 100 streams", 100), ("7 with 1000 streams", 1_000))


def draw(rounds: Rounds, file: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(18, 12), layout="constrained")
    *places, of_streams, of_load = figure.subplots(3, 3).flatten()
    for place, goal in zip(places, GOALS, strict=True):
        _bars(place, rounds, goal)
    _streams(of_streams, rounds)
    _load(of_load, rounds)
    figure.suptitle(f"GPT Broker, one worker: median and range of {len(rounds.rounds)} rounds")
    figure.savefig(file, dpi=80)


def _bars(place: Axes, rounds: Rounds, goal: Goal) -> None:
    names = ("nginx", "broker", "broker-tcp", "plain")
    figures = dict.fromkeys(names, goal.figure) | {"litellm": goal.figure_of_peer}
    values = {name: take(rounds, figure, name, goal.column) for name, figure in figures.items()}
    values = {name: found for name, found in values.items() if found}
    for at, (name, found) in enumerate(values.items()):
        middle = statistics.median(found)
        bar = place.bar(at, middle, color=COLOURS[name], width=0.6)
        place.errorbar(at, middle, yerr=[[middle - min(found)], [max(found) - middle]], color="black", capsize=4)
        place.bar_label(bar, [f"{middle:,.{goal.column.digits}f}"], padding=4)
    unit = statistics.median(values["nginx"]) if goal.of_nginx and "nginx" in values else 1.0
    place.axhline(goal.must * unit, color="#c0392b", linewidth=1, linestyle="--")
    place.axhline(goal.aim * unit, color="#27ae60", linewidth=1, linestyle="--")
    place.set_xticks(range(len(values)), list(values))
    place.set_yscale("log")
    place.margins(y=0.25)
    place.set_title(goal.column.heading, fontsize=10)


def _streams(place: Axes, rounds: Rounds) -> None:
    column = Column("processor_us", "processor µs a token")
    found = [(count, take(rounds, figure, "broker", column)) for figure, count in STREAMS]
    found = [(count, values) for count, values in found if values]
    _line(place, found, COLOURS["broker"])
    place.set_xscale("log")
    place.set_title("processor µs a token, by open streams (5,000 tokens a second in all)", fontsize=10)


def _load(place: Axes, rounds: Rounds) -> None:
    column = Column("processor_ms", "processor ms a call")
    names = [figure for figure in (rounds.rounds[0] if rounds.rounds else ()) if figure.startswith("7 ")]
    found = [(figure.removeprefix("7 with "), take(rounds, figure, "broker", column)) for figure in names]
    found = [(name, values) for name, values in found if values]
    _line(place, [(at, values) for at, (_, values) in enumerate(found)], COLOURS["broker"], line="none")
    place.set_xticks(range(len(found)), [name for name, _ in found], rotation=20, fontsize=8)
    place.set_title("processor ms a call, by users in Redis and by workers", fontsize=10)


def _line(place: Axes, found: list[tuple[int, list[float]]], colour: str, line: str = "-") -> None:
    if not found:
        return
    middles = [statistics.median(values) for _, values in found]
    below = [middle - min(values) for middle, (_, values) in zip(middles, found, strict=True)]
    above = [max(values) - middle for middle, (_, values) in zip(middles, found, strict=True)]
    place.errorbar([at for at, _ in found], middles, yerr=[below, above], color=colour, capsize=4, marker="o", ls=line)
    place.set_ylim(0, max(middles) * 1.6)
