"""Clients that hold many streams open: `python -m tests.integration.open_streams`, a job as JSON on standard input.

Prints the line `open` once every stream has its first text or has ended, and the results as JSON once all have ended.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

LAST_CHUNK = b"\r\n0\r\n\r\n"
TEXT, ERROR = b'{"data": "', b'{"error": '


@dataclass(frozen=True)
class Job:
    """So many streams, begun at a steady rate, with the tokens in turns.

    While `waiting` of them have no text yet, no other is begun: more would only queue.
    """

    host: str
    port: int
    streams: int
    per_second: float
    waiting: int
    tokens: list[str]


@dataclass
class Results:
    """How the streams ended (`whole`, `cut`, or an HTTP status), and the seconds until each had its first text."""

    ends: Counter[str] = field(default_factory=Counter)
    by_user: Counter[int] = field(default_factory=Counter)  # answers that began, by the token's number
    first_text: list[float] = field(default_factory=list)


class Stream(asyncio.Protocol):
    """One call of `/stream`."""

    def __init__(self, request: bytes, results: Results, number: int, note: Callable[[], None]) -> None:
        """`note` is called with the first text, or with the end if there is none; `number`: the user's."""
        self.ended = asyncio.get_running_loop().create_future()
        self._request, self._results, self._number, self._note = request, results, number, note
        self._head, self._tail = b"", b""
        self._has_text = False
        self._begun = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Look for the first text, and keep the end."""
        self._head = self._head or data[:12]
        if not self._has_text and TEXT in data:
            self._has_text = True
            self._results.first_text.append(time.monotonic() - self._begun)
            self._results.by_user[self._number] += 1
            self._note()
        self._tail = (self._tail + data)[-128:]

    def connection_lost(self, _: Exception | None) -> None:
        """Say how the stream ended."""
        is_whole = self._has_text and self._tail.endswith(LAST_CHUNK) and ERROR not in self._tail
        status = self._head[9:12].decode() or "no answer"
        self._results.ends["whole" if is_whole else "cut" if status == "200" else status] += 1
        if not self._has_text:
            self._note()
        self.ended.set_result(None)


def request_of(job: Job, number: int) -> bytes:
    """The request of one stream, on a connection of its own."""
    body = json.dumps({"messages": "hello", "model": "gpt-4o"})
    return (
        f"POST /stream HTTP/1.1\r\nHost: gpt.example.com\r\nAuthorization: Bearer {job.tokens[number]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()


async def run(job: Job) -> Results:
    """Hold all streams to their ends."""
    results, loop, streams, began = Results(), asyncio.get_running_loop(), [], 0

    def note() -> None:
        nonlocal began
        began += 1
        if began == job.streams:
            print("open", flush=True)

    start = time.monotonic()
    for number in range(job.streams):
        await asyncio.sleep(start + number / job.per_second - time.monotonic())
        while number - began >= job.waiting:
            await asyncio.sleep(0.01)
        user = number % len(job.tokens)
        made = Stream(request_of(job, user), results, user, note)
        await loop.create_connection(lambda made=made: made, job.host, job.port)  # type: ignore[misc]
        streams.append(made.ended)
    await asyncio.gather(*streams)
    return results


def main() -> None:
    """Run one job."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(vars(asyncio.run(run(Job(**json.load(sys.stdin)))))), flush=True)


if __name__ == "__main__":
    main()
