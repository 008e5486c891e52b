"""Closed-loop load of whole calls: each connection sends its next call after the answer."""

import select
import socket
import time
from dataclasses import dataclass, field

READ_SIZE = 65_536
PATIENCE = 30.0  # seconds without any answer before a run is aborted


@dataclass
class Job:
    """The calls to make: for `seconds` or up to `calls`, whichever comes first."""

    port: int
    requests: list[str]  # sent in turns
    connections: int = 1
    seconds: float = 60.0
    calls: int = 1_000_000_000


@dataclass
class Report:
    """The results. Times are in seconds."""

    calls: int = 0
    failed: int = 0
    processor_seconds: float = 0.0  # the generator's own
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    failure: str = ""  # the first failed answer


@dataclass
class _Caller:
    socket: socket.socket
    sent_at: float = 0.0
    received: bytes = b""


class CallLoad:
    """One run of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = [request.encode() for request in job.requests]
        self._sent = 0
        self._report = Report()
        self._epoll = select.epoll()
        self._callers: dict[int, _Caller] = {}

    def run(self) -> Report:
        """Make the calls."""
        start = time.monotonic()
        end = start + self._job.seconds
        for _ in range(min(self._job.connections, self._job.calls)):
            self._send(self._connect())
        while self._callers:
            ready = self._epoll.poll(PATIENCE)
            if not ready:
                self._report.failed += len(self._callers)
                break
            for number, _ in ready:
                self._receive(self._callers[number], end)
        self._report.seconds = time.monotonic() - start
        return self._report

    def _connect(self) -> _Caller:
        caller = _Caller(socket.create_connection(("127.0.0.1", self._job.port), PATIENCE))
        caller.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._callers[caller.socket.fileno()] = caller
        self._epoll.register(caller.socket.fileno(), select.EPOLLIN)
        return caller

    def _send(self, caller: _Caller) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        caller.received = b""
        caller.sent_at = time.monotonic()
        caller.socket.sendall(request)

    def _receive(self, caller: _Caller, end: float) -> None:
        try:
            data = caller.socket.recv(READ_SIZE)
        except OSError:
            data = b""
        caller.received += data
        if data and not is_whole(caller.received):
            return
        now = time.monotonic()
        if caller.received.startswith(b"HTTP/1.1 200 ") and data:
            self._report.calls += 1
            self._report.times.append(now - caller.sent_at)
        else:
            self._report.failed += 1
            self._report.failure = self._report.failure or caller.received[:500].decode(errors="replace") or "cut"
        self._next(caller, is_over=now >= end or self._sent >= self._job.calls, was_cut=not data)

    def _next(self, caller: _Caller, *, is_over: bool, was_cut: bool) -> None:
        if is_over or was_cut:
            del self._callers[caller.socket.fileno()]
            caller.socket.close()
        if not is_over:
            self._send(self._connect() if was_cut else caller)


def is_whole(response: bytes) -> bool:
    """Whether a response is complete, by its length or its last chunk."""
    head, found, body = response.partition(b"\r\n\r\n")
    if not found:
        return False
    _, has_length, rest = head.lower().partition(b"content-length: ")
    if has_length:
        return len(body) >= int(rest.partition(b"\r\n")[0])
    return body.endswith(b"0\r\n\r\n")
