"""The stand-in for OpenAI under load: `python -m tests.benchmarks.upstream CERTIFICATE` prints its ports: plain, TLS.

CERTIFICATE is a file with a key and its certificate. One process, one epoll, bytes made beforehand: a token costs it
little more than the system call that sends it.
"""

import contextlib
import heapq
import random
import resource
import select
import socket
import ssl
import sys
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
    received: list[bytes] = field(default_factory=list)
    missing: int = -1  # bytes of the request's body that are still to come; -1: its head has not come
    unsent: bytes = b""
    plan: Plan | None = None
    sent: int = 0  # tokens
    due: float = 0.0  # when the next tokens are due
    is_open: bool = True
    chance: random.Random = field(default_factory=lambda: random.Random(1))


class Upstream:
    """Answers whole calls at once, and streams at the rate of their plan."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._listeners = {one.fileno(): one for one in (_listener(), _listener())}
        self._over_tcp, self._over_tls = self._listeners.values()
        self._epoll = select.epoll()
        for number in self._listeners:
            self._epoll.register(number, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._timers: list[tuple[float, int, Connection]] = []

    @property
    def ports(self) -> tuple[int, int]:
        """The ports for plain TCP and for TLS."""
        return self._over_tcp.getsockname()[1], self._over_tls.getsockname()[1]

    def serve(self) -> None:
        """Serve until the process is killed."""
        while True:
            wait = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1
            for number, event in self._epoll.poll(wait):
                if number in self._listeners:
                    self._accept(self._listeners[number])
                elif event & select.EPOLLOUT:
                    self._send(self._connections[number], b"")
                else:
                    self._receive(self._connections[number])
            self._go_on()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if listener is self._over_tls:  # the first receive makes the handshake
                    client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
                self._connections[client.fileno()] = Connection(client)
                self._epoll.register(client.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(READ_SIZE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received.append(data)
        if connection.missing < 0:
            self._read_head(connection)
        else:
            connection.missing -= len(data)
        if connection.missing == 0:
            head, _, body = b"".join(connection.received).partition(b"\r\n\r\n")
            connection.received, connection.missing = [], -1
            self._answer(connection, head, body)
        elif isinstance(connection.socket, ssl.SSLSocket) and connection.socket.pending():
            self._receive(connection)  # the kernel does not tell of what the socket holds back

    @staticmethod
    def _read_head(connection: Connection) -> None:
        head, end, body = b"".join(connection.received).partition(b"\r\n\r\n")
        if end:
            connection.missing = _content_length(head) - len(body)

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
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
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


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


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
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1])
    upstream = Upstream(tls)
    print(*upstream.ports, flush=True)
    upstream.serve()


if __name__ == "__main__":
    main()
