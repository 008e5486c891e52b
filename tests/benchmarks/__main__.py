"""`make bench`: measure and write the results. See README.md for the variables."""

import os
import sys

from tests.benchmarks import pages, peer, report
from tests.benchmarks.check import regressions
from tests.benchmarks.course import CONTESTANTS, FIGURES, Course
from tests.benchmarks.figures import Values
from tests.benchmarks.rounds import FILE, Rounds
from tests.benchmarks.sizes import FULL, QUICK, TINY
from tests.benchmarks.surroundings import Surroundings
from tests.benchmarks.upstream import allow_many_files
from tests.benchmarks.versions import versions

SIZES = {"full": FULL, "quick": QUICK, "tiny": TINY}


def main() -> int:
    """Run the chosen figures for the chosen contestants; return the exit status."""
    among, notes = _contestants()
    rounds = Rounds.load() if _chosen("ADD") and FILE.exists() else Rounds(versions())
    rounds.notes = notes
    allow_many_files()
    for _ in range(int(_chosen("ROUNDS", "5"))):
        _run_round(rounds, among)
        if _chosen("SIZE", "full") == "full":
            pages.write(rounds)
    print(report.text(rounds))
    return _check(rounds) if _chosen("CHECK") else 0


def _check(rounds: Rounds) -> int:
    """Say what has become dearer; the exit status."""
    dearer = list(regressions(rounds, Rounds.load()))
    print("\n".join(dearer) or "Nothing has become more than a tenth dearer.")
    return 1 if dearer else 0


def _run_round(rounds: Rounds, among: list[str]) -> None:
    rounds.rounds.append({})
    rounds.machine_load.append(os.getloadavg()[0])
    print(f"round {len(rounds.rounds)}", flush=True)

    def note(figure: str, name: str, values: Values) -> None:
        rounds.note(figure, name, values)
        shown = ", ".join(f"{quantity} {value:.4g}" for quantity, value in values.items())
        print(f"  {figure}, {name}: {shown}", flush=True)

    around = Surroundings()
    try:
        course = Course(around, SIZES[_chosen("SIZE", "full")], tuple(_words("ONLY", FIGURES)), note)
        for name in among:
            course.run(name)
    finally:
        around.close()


def _contestants() -> tuple[list[str], list[str]]:
    """Return the contestants, and notes on those left out."""
    among = _words("AMONG", CONTESTANTS)
    why = peer.install() if "litellm" in among else ""
    if why:
        return [name for name in among if name != "litellm"], [f"LiteLLM could not be installed here: {why}"]
    return among, []


def _chosen(variable: str, default: str = "") -> str:
    return os.environ.get(variable) or default


def _words(variable: str, default: tuple[str, ...]) -> list[str]:
    return _chosen(variable).replace(",", " ").split() or list(default)


if __name__ == "__main__":
    sys.exit(main())
