"""Soak test: `MINUTES=10 python -m tests.soak FOLDER`. Writes a plot and a table to FOLDER; exits 1 on growth."""

import os
import signal
import sys
from pathlib import Path

from tests.soak.course import run
from tests.soak.report import growth, plot, table

WARM_UP = 0.2  # share


def main() -> int:
    """Run the soak test; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # also stops the child processes
    seconds, folder = float(os.environ.get("MINUTES") or 10) * 60, Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    done = run(seconds, max(20.0, seconds * WARM_UP))
    plot(done.samples, done.marks, folder / "soak.png")
    calls = "\n".join(f"{count:8d}  {what}" for what, count in sorted(done.outcomes.items(), key=lambda item: -item[1]))
    figures = f"{table(done.before, done.after)}\n\n{sum(done.outcomes.values())} calls:\n{calls}\n"
    (folder / "soak.md").write_text(figures)
    print(figures)
    grown = growth(done.before, done.after)
    print(
        *grown or ["nothing has grown"],
        done.imbalance or "the books add up",
        f"the plot: {folder / 'soak.png'}",
        sep="\n",
    )
    return 1 if grown or done.imbalance else 0


if __name__ == "__main__":
    sys.exit(main())
