"""A small HTTP/1.1 server for the stand-ins, which can also do what a good server never does.

It can stay silent, cut a connection, and notices within moments that its peer has left.
"""

import asyncio
import json
import signal
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

HOST = "127.0.0.1"
Headers = dict[str, str]


@dataclass
class Request:
    """One request: header names in lower case, the body whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


@dataclass
class Exchange:
    """A request and the way to answer it."""

    request: Request
    connection: "Connection"
    sent: bool = field(default=False)

    @property
    def left(self) -> asyncio.Event:
        """Set once the peer has left."""
        return self.connection.left

    def reply(self, status: int, content: object, headers: Headers | None = None) -> None:
        """Answer in one piece: `content` is bytes, or anything that becomes JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
        all_headers = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self.send(_head(status, all_headers) + body)

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer that is sent in chunks."""
        self.send(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        """One HTTP chunk."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        """The chunk that ends an answer."""
        self.send(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sent = True
        self.connection.transport.write(data)

    def cut(self, *, reset: bool = False) -> None:
        """End the connection in the midst; with `reset` as if the machine had died."""
        transport = self.connection.transport
        if reset:
            option = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            transport.abort()
        else:
            transport.close()

    async def pause(self, seconds: float) -> bool:
        """Wait; whether the peer is still there then."""
        if self.left.is_set() or seconds <= 0:
            return not self.left.is_set()
        try:
            await asyncio.wait_for(self.left.wait(), seconds)
        except TimeoutError:
            return True
        return False


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One peer, whose requests are answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.left = asyncio.Event()
        self._server = server
        self._buffer = b""
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has come."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections_ever += 1
        self._server.open_connections.add(self)
        self._task = asyncio.ensure_future(self._serve())

    def data_received(self, data: bytes) -> None:
        """The peer has said something."""
        self._buffer += data
        self._more.set()

    def eof_received(self) -> None:
        """The peer will say no more: it has left."""
        self.connection_lost(None)

    def connection_lost(self, _: Exception | None) -> None:
        """The connection is gone."""
        self.left.set()
        self._more.set()
        self._server.open_connections.discard(self)

    async def _serve(self) -> None:
        while (head := await self._take_head()) is not None:
            request = _read_head(head)
            request.body = await self._take(int(request.headers.get("content-length", "0")))
            await self._server.handle(Exchange(request, self))
        self.transport.close()

    async def _take_head(self) -> bytes | None:
        while b"\r\n\r\n" not in self._buffer:
            if not await self._wait():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size and await self._wait():
            pass
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    async def _wait(self) -> bool:
        self._more.clear()
        if not self.left.is_set():
            await self._more.wait()
        return not self.left.is_set()


class Server:
    """Serves on loopback; in the foreground of a process of its own, or in a thread of another."""

    def __init__(self, port: int = 0) -> None:
        """Port 0: a free one."""
        self.port = port
        self.connections_ever = 0
        self.open_connections: set[Connection] = set()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request; each stand-in does it in its own way."""
        raise NotImplementedError

    def start_in_thread(self) -> None:
        """Listen in the background; `stop` ends it."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready.set)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the stand-in did not start")

    def stop(self) -> None:
        """Stop listening, and end every connection."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def serve(self) -> None:
        """Listen until SIGTERM or SIGINT; the first line of output says where."""
        asyncio.run(self._run(lambda: print(f"listening on {self.url}", flush=True), with_signals=True))

    async def _run(self, ready: Callable[[], object], *, with_signals: bool = False) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT) if with_signals else ():
            self._loop.add_signal_handler(number, self._stopped.set)
        server = await self._loop.create_server(lambda: Connection(self), HOST, self.port, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stopped.wait()
        server.close()
        for connection in list(self.open_connections):
            connection.transport.abort()


def _read_head(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), {n.lower(): v.strip() for n, v in pairs})


def _head(status: int, headers: Headers) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Stand-in\r\n{lines}\r\n".encode()
