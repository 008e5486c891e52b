"""What has become dearer since the committed results: `make bench SIZE=quick CHECK=1`."""

import statistics
from collections.abc import Iterator

from tests.benchmarks.rounds import Rounds

ALLOWED = 0.10  # by which a ratio to nginx may be above the committed one
RATIOS = (
    ("1", "processor_ms", "processor time of a whole call"),
    ("3", "processor_us", "processor time of a streamed token"),
    ("4", "processor_us", "processor time of a token in clumps"),
    ("5 at 1000", "stream_kb", "memory of an open stream"),
    ("6", "pss_mb", "memory at rest"),
)


def regressions(measured: Rounds, committed: Rounds) -> Iterator[str]:
    """A sentence for each ratio to nginx that is more than `ALLOWED` above the committed one."""
    for figure, quantity, name in RATIOS:
        now, before = _ratio(measured, figure, quantity), _ratio(committed, figure, quantity)
        if now is not None and before is not None and now > before * (1 + ALLOWED):
            yield f"{name}: {now:.2f} × nginx, and {before:.2f} × in the committed results"


def _ratio(rounds: Rounds, figure: str, quantity: str) -> float | None:
    """The median over the rounds of broker ÷ nginx; None where one was not measured."""
    pairs = zip(rounds.series(figure, "broker", quantity), rounds.series(figure, "nginx", quantity), strict=True)
    ratios = [one / floor for one, floor in pairs if one is not None and floor]
    return statistics.median(ratios) if ratios else None
