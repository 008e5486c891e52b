"""OpenAI's replies as test data: the project's samples, and recorded ones if their folder exists."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "tests" / "samples" / "openai"
RECORDED = ROOT.parent / "shared" / "fixtures" / "openai"


@dataclass(frozen=True)
class RecordedReply:
    """A reply with its name."""

    name: str
    status: int
    headers: dict[str, str]
    body: bytes


def streams() -> list[RecordedReply]:
    """Streams with status 200, including those that break off."""
    return _folder("streaming")


def whole_answers() -> list[RecordedReply]:
    """Whole answers with status 200."""
    return _folder("non_streaming")


def errors() -> list[RecordedReply]:
    """Replies with any other status."""
    return _folder("errors")


def response_streams() -> list[RecordedReply]:
    """Streams of the Responses API."""
    return _folder("responses/streaming")


def whole_responses() -> list[RecordedReply]:
    """Whole responses, lists of input items, and deletions."""
    return _folder("responses/non_streaming")


def response_errors() -> list[RecordedReply]:
    """Errors of the Responses API."""
    return _folder("responses/errors")


def response_named(name: str) -> RecordedReply:
    """The reply of the Responses API with this name."""
    replies = response_streams() + whole_responses() + response_errors()
    return next(reply for reply in replies if reply.name == name)


def named(name: str) -> RecordedReply:
    """Return the reply of this name."""
    return next(reply for reply in streams() + whole_answers() + errors() if reply.name == name)


@functools.cache
def _folder(name: str) -> list[RecordedReply]:
    paths = [path for root in (SAMPLES, RECORDED) for path in sorted((root / name).glob("*.json"))]
    return [_read(path) for path in paths]


def _read(path: Path) -> RecordedReply:
    response = json.loads(path.read_text(encoding="utf-8"))["response"]
    return RecordedReply(path.stem, response["status"], response["headers"], response["body"].encode())
