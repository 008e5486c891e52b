"""Recorded replies that the stand-in can play back, by name."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).parent.parent.parent / "tests" / "samples" / "openai"
NOT_REPLAYED = frozenset({"connection", "transfer-encoding", "content-length"})


@dataclass(frozen=True)
class Recorded:
    """A recorded response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_stream(self) -> bool:
        """Whether the response is an event stream."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


@functools.cache
def recorded(*folders: Path) -> dict[str, Recorded]:
    """All replies below `folders`, by file name without suffix."""
    return {path.stem: _read(path) for folder in folders for path in sorted(folder.rglob("*.json"))}


def _read(path: Path) -> Recorded:
    response = json.loads(path.read_text(encoding="utf-8"))["response"]
    headers = {name.lower(): value for name, value in response["headers"].items()}
    kept = {name: value for name, value in headers.items() if name not in NOT_REPLAYED}
    return Recorded(response["status"], kept, response["body"].encode())
