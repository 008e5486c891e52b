"""The measurements by round, in a file written after each round."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Values = dict[str, float]
Round = dict[str, dict[str, Values]]  # figure → contestant → quantity → value

FILE = Path(__file__).parent / "results" / "results.json"
STRAIGHT = {"4": "3"}  # clumped streams start like any other: direct calls are measured once


@dataclass
class Rounds:
    """All rounds of a run with the versions of all programs."""

    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine_load: list[float] = field(default_factory=list)  # load average before each round
    rounds: list[Round] = field(default_factory=list)

    @classmethod
    def load(cls, file: Path = FILE) -> "Rounds":
        """Load the rounds from a file."""
        content: dict[str, Any] = json.loads(file.read_text())
        return cls(**content)

    def save(self, file: Path = FILE) -> None:
        """Save the rounds to a file."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    def note(self, figure: str, contestant: str, values: Values) -> None:
        """Add values to the current round."""
        self.rounds[-1].setdefault(figure, {}).setdefault(contestant, {}).update(values)

    def values(self, figure: str, contestant: str, quantity: str) -> list[float]:
        """Return one value for each round that has it."""
        return [value for value in self.series(figure, contestant, quantity) if value is not None]

    def added(self, figure: str, contestant: str, quantity: str) -> list[float]:
        """Return values minus the median of direct calls in the same round."""
        return [value for value in self.added_series(figure, contestant, quantity) if value is not None]

    def series(self, figure: str, contestant: str, quantity: str) -> list[float | None]:
        """Return the values by round, None if a round lacks it."""
        return [self._value(one, figure, contestant, quantity) for one in self.rounds]

    def added_series(self, figure: str, contestant: str, quantity: str) -> list[float | None]:
        """Return `added` by round, None if a round lacks it."""
        straight = self.series(STRAIGHT.get(figure, figure), "direct", quantity.replace("p99", "p50"))
        values = self.series(figure, contestant, quantity)
        return [None if one is None or at is None else one - at for one, at in zip(values, straight, strict=True)]

    def median(self, figure: str, contestant: str, quantity: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.values(figure, contestant, quantity))

    @staticmethod
    def _value(one: Round, figure: str, contestant: str, quantity: str) -> float | None:
        values = one.get(figure, {}).get(contestant, {})
        if values.get("failed") and quantity != "failed":
            return None  # with failed streams, the cost of one would be too low
        return values.get(quantity)
