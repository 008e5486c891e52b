"""Runs a client's tasks as standard input lists them, all at once, and prints one JSON line for each outcome."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

QUESTION = "Please use your tools: when is high water?"
FOLLOW_UP = "Thank you. What does that mean for me?"


@dataclass(frozen=True)
class Job:
    """One task of one user."""

    id: str
    api: str
    task: str
    base_url: str
    token: str
    question: str
    model: str


class Forecast(BaseModel):
    """The structured answer that the tasks ask for."""

    place: str
    metres: float


Task = Callable[[Job], Any]


def tide(place: str) -> str:
    """The answer of the tool."""
    return f"high water in {place} at 12:34"


def run(apis: Mapping[str, Mapping[str, Task]]) -> None:
    """`apis`: for each API the tasks by name, each of which returns what it saw."""
    jobs = [
        Job(one["id"], one["api"], one["task"], one["baseURL"], one["token"], one["question"], one["model"])
        for one in json.load(sys.stdin)
    ]
    lock = threading.Lock()

    def do(job: Job) -> None:
        outcome = _outcome(apis[job.api][job.task], job)
        with lock:
            print(json.dumps({"id": job.id, **outcome}), flush=True)

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(do, jobs))
    os._exit(0)  # no client's background thread is waited for


def abort_after(pieces: int, texts: Iterable[str | None], abort: Callable[[], object]) -> dict[str, float]:
    """Reads that many texts, then aborts; returns the monotonic time of that in seconds."""
    seen = 0
    for text in texts:
        seen += bool(text)
        if seen == pieces:
            break
    at = time.monotonic()
    abort()
    time.sleep(1)  # the connection stays up only if the abort did not close it
    return {"seen": seen, "at": at}


def _outcome(task: Task, job: Job) -> dict[str, Any]:
    try:
        return {"value": task(job)}
    except Exception as error:  # noqa: BLE001 - each client raises its own
        status = getattr(error, "status_code", None)
        return {"error": {"name": type(error).__name__, "message": str(error), "status": status}}
