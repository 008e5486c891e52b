"""What was measured, round by round, in a file that is written after every round."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Values = dict[str, float]
Round = dict[str, dict[str, Values]]  # figure → contestant → quantity → value

FILE = Path(__file__).parent / "results" / "results.json"
STRAIGHT = {"4": "3"}  # a clumped stream begins as any other: the straight way is measured once


@dataclass
class Rounds:
    """All rounds of a run, with the versions of everything."""

    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    machine_load: list[float] = field(default_factory=list)  # of the machine before each round: what else it had to do
    rounds: list[Round] = field(default_factory=list)

    @classmethod
    def load(cls, file: Path = FILE) -> "Rounds":
        """Those in a file."""
        content: dict[str, Any] = json.loads(file.read_text())
        return cls(**content)

    def save(self, file: Path = FILE) -> None:
        """Write them down."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    def note(self, figure: str, contestant: str, values: Values) -> None:
        """Add to the round under way."""
        self.rounds[-1].setdefault(figure, {}).setdefault(contestant, {}).update(values)

    def values(self, figure: str, contestant: str, quantity: str) -> list[float]:
        """One value a round, from those rounds that have it."""
        return [value for value in self.series(figure, contestant, quantity) if value is not None]

    def added(self, figure: str, contestant: str, quantity: str) -> list[float]:
        """The same less the median of the way straight to the stand-in, in the same round."""
        return [value for value in self.added_series(figure, contestant, quantity) if value is not None]

    def series(self, figure: str, contestant: str, quantity: str) -> list[float | None]:
        """Round by round, None where a round does not have it."""
        return [self._value(one, figure, contestant, quantity) for one in self.rounds]

    def added_series(self, figure: str, contestant: str, quantity: str) -> list[float | None]:
        """`added`, likewise."""
        straight = self.series(STRAIGHT.get(figure, figure), "direct", quantity.replace("p99", "p50"))
        values = self.series(figure, contestant, quantity)
        return [None if one is None or at is None else one - at for one, at in zip(values, straight, strict=True)]

    def median(self, figure: str, contestant: str, quantity: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.values(figure, contestant, quantity))

    @staticmethod
    def _value(one: Round, figure: str, contestant: str, quantity: str) -> float | None:
        values = one.get(figure, {}).get(contestant, {})
        if values.get("failed") and quantity != "failed":
            return None  # fewer streams than were counted on: what one takes would be told too low
        return values.get(quantity)
