"""`make bench`: measure, and write it down. ROUNDS, ONLY (figures), AMONG (contestants), SIZE: see README.md."""

import functools
import os
import sys

from tests.benchmarks import figures
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import FULL, QUICK, TINY, Sizes
from tests.benchmarks.surroundings import Surroundings
from tests.benchmarks.upstream import allow_many_files

SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}
IN_TURN: dict[str, Figure] = {
    "1": figures.calls,
    "2": figures.single_calls,
    "3": figures.streams,
    "4": figures.clumps,
}


def main() -> int:
    """Run the chosen figures among the chosen contestants; the exit status."""
    rounds = int(os.environ.get("ROUNDS") or 5)
    only = (os.environ.get("ONLY") or "1 2 3 4 5").replace(",", " ").split()
    among = (os.environ.get("AMONG") or "direct nginx broker").replace(",", " ").split()
    sizes = SIZES[os.environ.get("SIZE") or "full"]
    allow_many_files()
    around = Surroundings()
    try:
        for number in range(1, rounds + 1):
            for name in among:
                print(f"round {number}, {name}", flush=True)
                _measure(around, name, only, sizes)
    finally:
        around.close()
    return 0


def _measure(around: Surroundings, name: str, only: list[str], sizes: Sizes) -> None:
    chosen = {figure: measure for figure, measure in IN_TURN.items() if figure in only}
    with around.contestant(name) as contestant:
        figures.warm_up(around, contestant, sizes)
        for figure, measure in chosen.items():
            _tell(figure, measure(around, contestant, sizes))
    if "5" in only and contestant.tree:
        for count in sizes.open_streams:
            with around.contestant(name) as fresh:
                figures.warm_up(around, fresh, sizes)
                _tell(f"5 at {count}", functools.partial(figures.open_streams, count=count)(around, fresh, sizes))


def _tell(figure: str, values: figures.Values) -> None:
    print(f"  {figure}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
