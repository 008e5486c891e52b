"""A round: the contestants in turn with all their figures."""

import time
from collections.abc import Callable
from dataclasses import replace

from tests.benchmarks import distance, figures, growth, limits
from tests.benchmarks.contestants import Contestant
from tests.benchmarks.figures import Values
from tests.benchmarks.payloads import Plan
from tests.benchmarks.sizes import Sizes, load_for
from tests.benchmarks.surroundings import TCP, Surroundings

Note = Callable[[str, str, Values], None]  # figure, contestant, values
FIGURES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
CONTESTANTS = ("direct", "nginx", "broker", "plain", "litellm", "nginx-tcp", "broker-tcp")
OVER_TCP = ("1", "2", "3")  # the figures that show what TLS costs
WITH_BODIES = ("nginx", "broker")


class Course:
    """One round, for the chosen figures and contestants."""

    def __init__(self, around: Surroundings, sizes: Sizes, only: tuple[str, ...], note: Note) -> None:
        self._around = around
        self._sizes = sizes
        self._only = only
        self._note = note

    def run(self, name: str) -> None:
        """Run all figures of this contestant."""
        sizes = load_for(name, self._sizes)
        self._answer(name, sizes)
        if name.endswith(TCP):
            return
        if "5" in self._only and name != "direct":
            for count in sizes.open_streams:
                self._hold_open(f"5 at {count}", name, sizes, (count, 1.0))
        if name == "broker":
            self._broker_alone(sizes)

    def _broker_alone(self, sizes: Sizes) -> None:
        """Run figures 7, 9 and 10, which no other contestant has."""
        if "7" in self._only:
            self._grow(sizes)
        if "9" in self._only:
            for kind, values in distance.connections(self._around.origin(), sizes.connections):
                self._note(f"9 with {kind}", "broker", values)
        if "10" in self._only:
            for kind, values in limits.costs(self._around, sizes):
                self._note(f"10 with {kind}", "broker", values)

    def _answer(self, name: str, sizes: Sizes) -> None:
        """Run figures 6 and 1 to 4 on the same process."""
        began = time.monotonic()
        with self._around.contestant(name) as contestant:
            started = time.monotonic() - began
            if "6" in self._only and contestant.tree and not name.endswith(TCP):
                self._note("6", name, {"start_s": started, **figures.at_rest(contestant)})
            figures.warm_up(self._around, contestant, sizes)
            for figure, values in self._while_running(name, contestant, sizes):
                self._note(figure, name, values)
            if "8" in self._only and name in WITH_BODIES:
                for body, values in figures.calls_with_bodies(self._around, contestant, sizes):
                    self._note(f"8 with {body}", name, values)

    def _while_running(self, name: str, contestant: Contestant, sizes: Sizes) -> list[tuple[str, Values]]:
        one_by_one = replace(sizes, clump=1)
        measures: dict[str, Callable[[], Values]] = {
            "1": lambda: figures.calls(self._around, contestant, sizes),
            "2": lambda: figures.single_calls(self._around, contestant, sizes),
            "3": lambda: figures.streams(self._around, contestant, one_by_one),
            "4": lambda: figures.streams(self._around, contestant, sizes),
        }
        if not contestant.tree:
            del measures["4"]  # see rounds.STRAIGHT
        if name.endswith(TCP):
            measures = {figure: measures[figure] for figure in OVER_TCP}
        return [(figure, measure()) for figure, measure in measures.items() if figure in self._only]

    def _hold_open(self, figure: str, name: str, sizes: Sizes, load: tuple[int, float]) -> None:
        count, pace = load
        with self._around.contestant(name) as contestant:
            figures.warm_up(self._around, contestant, sizes)
            values = figures.open_streams(self._around, contestant, sizes, Plan(0, pace), count)
        self._note(figure, name, values)

    def _grow(self, sizes: Sizes) -> None:
        for count in sizes.growing_streams:
            self._hold_open(f"7 with {count} streams", "broker", sizes, (count, sizes.growing_tokens / count))
        for count in sizes.growing_users:
            self._note(f"7 with {count} users", "broker", growth.with_users(self._around, sizes, count))
        self._note("7 with new users", "broker", growth.with_new_users(self._around, sizes))
        for count in sizes.workers:
            self._note(f"7 with {count} workers", "broker", growth.with_workers(self._around, sizes, count))
