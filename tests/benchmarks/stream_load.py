"""Open-loop load of streams, started at a steady rate and read to their end."""

import errno
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.payloads import STAMP_MARK, TOKEN_MARK

READ_SIZE = 65_536
PATIENCE = 30.0  # seconds without a byte before a run is aborted
LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass
class Job:
    """A number of streams, started at a rate, each with a number of tokens."""

    port: int
    requests: list[str]  # sent in turns
    streams: int
    starts_a_second: float
    tokens: int


@dataclass
class Report:
    """The results. Times are in seconds."""

    streams: int = 0
    failed: int = 0
    processor_seconds: float = 0.0  # the generator's own
    tokens: int = 0
    reads: int = 0
    first_token: list[float] = field(default_factory=list)  # from the request
    late: list[float] = field(default_factory=list)  # of the last token, from sending to arrival
    failure: str = ""  # the first failed stream


@dataclass
class _Reader:
    socket: socket.socket
    request: bytes
    sent_at: float = 0.0
    tokens: int = 0
    tail: bytes = b""  # the last bytes, to detect the end
    head: bytes = b""  # the first bytes, for the status


class StreamLoad:
    """One run of a job."""

    def __init__(self, job: Job, all_open: Callable[[], None] = lambda: None) -> None:
        """`all_open` is called once every stream has had its first token or failed."""
        self._job = job
        self._requests = [request.encode() for request in job.requests]
        self._all_open = all_open
        self._begun = 0
        self._opened = 0
        self._report = Report()
        self._epoll = select.epoll()
        self._readers: dict[int, _Reader] = {}

    def run(self) -> Report:
        """Start all streams and read them to their end."""
        start = last_byte = time.monotonic()
        while self._begun < self._job.streams or self._readers:
            ready = self._epoll.poll(self._until_next(start))
            for number, event in ready:
                self._attend(self._readers[number], event)
            now = time.monotonic()
            last_byte = now if ready or not self._readers else last_byte
            if now - last_byte > PATIENCE:
                self._give_up()
            while self._begun < self._job.streams and now >= start + self._begun / self._job.starts_a_second:
                self._begin()
        return self._report

    def _give_up(self) -> None:
        for reader in list(self._readers.values()):
            self._end(reader, f"silent for {PATIENCE:.0f} s")

    def _until_next(self, start: float) -> float:
        if self._begun == self._job.streams:
            return PATIENCE
        return max(0.0, start + self._begun / self._job.starts_a_second - time.monotonic())

    def _begin(self) -> None:
        request = self._requests[self._begun % len(self._requests)]
        reader = _Reader(socket.socket(), request)
        reader.socket.setblocking(False)
        reader.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader.sent_at = time.monotonic()
        if reader.socket.connect_ex(("127.0.0.1", self._job.port)) not in (0, errno.EINPROGRESS):
            raise OSError("no connection could be begun")
        self._readers[reader.socket.fileno()] = reader
        self._epoll.register(reader.socket.fileno(), select.EPOLLOUT)
        self._begun += 1

    def _attend(self, reader: _Reader, event: int) -> None:
        if event & select.EPOLLOUT:  # connected
            self._epoll.modify(reader.socket.fileno(), select.EPOLLIN)
            try:
                reader.socket.send(reader.request)
            except OSError as why:
                self._end(reader, f"not sent: {why}")
            return
        try:
            data = reader.socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as why:
            self._end(reader, f"cut: {why}")
            return
        self._take(reader, data, time.monotonic())

    def _take(self, reader: _Reader, data: bytes, now: float) -> None:
        if not reader.head:
            reader.head = data[:500]
            if data and not data.startswith(b"HTTP/1.1 200 "):
                self._end(reader, "refused")
                return
        found = data.count(TOKEN_MARK)
        if found:
            if not reader.tokens:
                self._first_token(now - reader.sent_at)
            reader.tokens += found
            self._report.reads += 1
        seen = reader.tail + data
        if data.endswith(STAMP_MARK) or STAMP_MARK in data:
            self._last_token(seen, now)
        reader.tail = seen[-64:]
        if not data or seen.endswith(LAST_CHUNK):
            self._end(reader, "" if data else "cut")

    def _first_token(self, seconds: float) -> None:
        self._report.first_token.append(seconds)
        self._note_opened()

    def _note_opened(self) -> None:
        self._opened += 1
        if self._opened == self._job.streams:
            self._all_open()

    def _last_token(self, seen: bytes, now: float) -> None:
        parts = seen.split(STAMP_MARK)
        if len(parts) > 2:  # otherwise the stamp is incomplete
            self._report.late.append(now - int(parts[1]) / 1e9)

    def _end(self, reader: _Reader, why: str) -> None:
        del self._readers[reader.socket.fileno()]
        reader.socket.close()
        self._report.tokens += reader.tokens
        if not why and reader.head.startswith(b"HTTP/1.1 200 ") and reader.tokens == self._job.tokens:
            self._report.streams += 1
            return
        self._report.failed += 1
        about = f"{why} after {reader.tokens} tokens: {reader.head.decode(errors='replace')}"
        self._report.failure = self._report.failure or about
        if not reader.tokens:
            self._note_opened()
