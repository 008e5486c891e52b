"""Runs the tasks that standard input lists, all at once, and prints one JSON line for each outcome."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
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
AsyncTask = Callable[[Job], Coroutine[Any, Any, Any]]


def tide(place: str) -> str:
    """The answer of the tool."""
    return f"high water in {place} at 12:34"


def run(apis: Mapping[str, Mapping[str, Task]]) -> None:
    """Run the jobs in threads. `apis`: for each API the tasks by name, each of which returns its result."""
    jobs = _jobs()
    with ThreadPoolExecutor(len(jobs)) as pool:
        outcomes = [pool.submit(apis[job.api][job.task], job) for job in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            _print(job, outcome.exception() or outcome.result())
    os._exit(0)  # no client's background thread is waited for


def run_async(apis: Mapping[str, Mapping[str, AsyncTask]]) -> None:
    """Run the jobs on one event loop, as clients share connections between calls on the same loop."""

    async def all_jobs() -> None:
        jobs = _jobs()
        for is_abort in (False, True):  # aborts are timed, so they run alone
            group = [job for job in jobs if (job.task == "abort") is is_abort]
            tasks = (apis[job.api][job.task](job) for job in group)
            for job, outcome in zip(group, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
                _print(job, outcome)

    asyncio.run(all_jobs())
    os._exit(0)


def _jobs() -> list[Job]:
    return [
        Job(one["id"], one["api"], one["task"], one["baseURL"], one["token"], one["question"], one["model"])
        for one in json.load(sys.stdin)
    ]


def _print(job: Job, outcome: Any) -> None:
    if isinstance(outcome, BaseException):
        status = getattr(outcome, "status_code", None)
        shown = {"error": {"name": type(outcome).__name__, "message": str(outcome), "status": status}}
    else:
        shown = {"value": outcome}
    print(json.dumps({"id": job.id, **shown}), flush=True)


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
