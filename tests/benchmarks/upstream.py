"""The stand-in for OpenAI for benchmarks: `python -m tests.benchmarks.upstream` prints its port.

One process, one epoll and prepared bytes: a token costs little more than its system call.
"""

import contextlib
import heapq
import random
import resource
import select
import socket
import time
from dataclasses import dataclass, field

from tests.benchmarks import payloads
from tests.benchmarks.payloads import Plan

BACKLOG = 4_096
READ_SIZE = 65_536


@dataclass(eq=False)
class Connection:
    """A contestant's connection and the stream on it."""

    socket: socket.socket
    received: bytes = b""
    unsent: bytes = b""
    plan: Plan | None = None
    sent: int = 0  # tokens
    due: float = 0.0  # when the next tokens are due
    is_open: bool = True
    chance: random.Random = field(default_factory=lambda: random.Random(1))


class Upstream:
    """Answers whole calls at once, and streams at the rate of their plan."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._timers: list[tuple[float, int, Connection]] = []

    def serve(self) -> None:
        """Until killed."""
        while True:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1
            for number, event in self._epoll.poll(wait):
                if number == self._listener.fileno():
                    self._accept()
                elif event & select.EPOLLOUT:
                    self._send(self._connections[number], b"")
                else:
                    self._receive(self._connections[number])
            self._go_on()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[client.fileno()] = Connection(client)
                self._epoll.register(client.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received += data
        head, end, body = connection.received.partition(b"\r\n\r\n")
        if end and len(body) >= _content_length(head):
            connection.received = b""
            self._answer(connection, head, body)

    def _answer(self, connection: Connection, head: bytes, body: bytes) -> None:
        plan = payloads.read_plan(body)
        if head.startswith(b"GET"):
            self._send(connection, payloads.MODELS)
        elif plan is None:
            self._send(connection, payloads.WHOLE_ANSWER)
        else:
            connection.plan, connection.sent = plan, 1
            connection.chance.seed(1)
            self._send(connection, payloads.STREAM_BEGIN + payloads.TOKENS[0])
            connection.due = time.monotonic()
            self._wait(connection, 1 / plan.a_second)

    def _wait(self, connection: Connection, seconds: float) -> None:
        connection.due += seconds
        heapq.heappush(self._timers, (connection.due, id(connection), connection))

    def _go_on(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, connection = heapq.heappop(self._timers)
            if connection.is_open and connection.plan:
                self._send_tokens(connection, connection.plan)

    def _send_tokens(self, connection: Connection, plan: Plan) -> None:
        left = plan.tokens - connection.sent
        if left == 0:
            connection.plan = None
            self._send(connection, payloads.STREAM_END)
            return
        count = min(left, connection.chance.randint(1, plan.clump)) if plan.clump > 1 else 1
        events = [payloads.TOKENS[(connection.sent + n) % len(payloads.TOKENS)] for n in range(count)]
        if count == left:
            events[-1] = payloads.last_token(time.monotonic_ns())
        connection.sent += count
        self._send(connection, b"".join(events))
        self._wait(connection, count / plan.a_second)

    def _send(self, connection: Connection, data: bytes) -> None:
        was_behind = bool(connection.unsent)
        data = connection.unsent + data
        try:
            connection.unsent = data[connection.socket.send(data) :]
        except BlockingIOError:
            connection.unsent = data
        except OSError:
            self._close(connection)
            return
        if bool(connection.unsent) != was_behind:
            interest = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
            self._epoll.modify(connection.socket.fileno(), interest)

    def _close(self, connection: Connection) -> None:
        connection.is_open = False
        self._connections.pop(connection.socket.fileno(), None)
        connection.socket.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def allow_many_files() -> None:
    """Raise the limit of open files to its maximum: each stream needs one."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Serve until killed."""
    allow_many_files()
    upstream = Upstream()
    print(upstream.port, flush=True)
    upstream.serve()


if __name__ == "__main__":
    main()
