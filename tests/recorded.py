"""OpenAI's replies as test data: the project's own samples, and the recorded ones where their folder exists."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "tests" / "samples" / "openai"
RECORDED = ROOT.parent / "shared" / "fixtures" / "openai"


@dataclass(frozen=True)
class RecordedReply:
    """One reply: what it is called, and what came over the wire."""

    name: str
    status: int
    headers: dict[str, str]
    body: bytes


def streams() -> list[RecordedReply]:
    """Streams of 200, also those that break off."""
    return _folder("streaming")


def whole_answers() -> list[RecordedReply]:
    """Answers of 200 in one piece."""
    return _folder("non_streaming")


def errors() -> list[RecordedReply]:
    """Replies of any other status."""
    return _folder("errors")


def named(name: str) -> RecordedReply:
    """The reply of this name."""
    return next(reply for reply in streams() + whole_answers() + errors() if reply.name == name)


@functools.cache
def _folder(name: str) -> list[RecordedReply]:
    paths = [path for root in (SAMPLES, RECORDED) for path in sorted((root / name).glob("*.json"))]
    return [_read(path) for path in paths]


def _read(path: Path) -> RecordedReply:
    response = json.loads(path.read_text(encoding="utf-8"))["response"]
    return RecordedReply(path.stem, response["status"], response["headers"], response["body"].encode())
