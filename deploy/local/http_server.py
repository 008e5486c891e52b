"""A small HTTP/1.1 server for the stand-ins.

It can also stay silent and cut connections, and it notices at once that a peer has disconnected.
"""

import asyncio
import signal
import ssl
import threading
from collections.abc import Callable
from typing import cast

from deploy.local.exchange import Exchange, read_head

HOST = "127.0.0.1"


class Connection(asyncio.Protocol):
    """One connection. Requests are answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.left = asyncio.Event()
        self._server = server
        self._buffer = b""
        self._more = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to serve the connection."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections_ever += 1
        self._server.open_connections.add(self)
        self._task = asyncio.ensure_future(self._serve())

    def data_received(self, data: bytes) -> None:
        """Buffer received bytes."""
        self._buffer += data
        self._more.set()

    def eof_received(self) -> None:
        """Treat a half-closed connection as a disconnect."""
        self.connection_lost(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Wake all waiting tasks."""
        self.left.set()
        self._more.set()
        self._server.open_connections.discard(self)

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not received. Under TLS they are in the buffer of the underlying transport."""
        ssl_protocol = getattr(self.transport, "_ssl_protocol", None)
        below = ssl_protocol._transport.get_write_buffer_size() if ssl_protocol else 0  # noqa: SLF001 - no public way
        return self.transport.get_write_buffer_size() + int(below)

    async def _serve(self) -> None:
        while (head := await self._take_head()) is not None:
            request = read_head(head)
            request.body = await self._take(int(request.headers.get("content-length", "0")))
            await self._server.handle(Exchange(request, self.transport, self.left))
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
    """Serves in the foreground (`serve`) or in a thread (`start_in_thread`).

    Listens on loopback unless `host` is set before the start.
    """

    host = HOST
    tls: ssl.SSLContext | None = None  # set it before the start to speak TLS

    def __init__(self, port: int = 0) -> None:
        """`port` 0 chooses a free port."""
        self.port = port
        self.connections_ever = 0
        self.open_connections: set[Connection] = set()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http{'s' if self.tls else ''}://{self.host}:{self.port}"

    @property
    def is_serving(self) -> bool:
        """Whether the background thread runs."""
        return self._thread is not None and self._thread.is_alive()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request. Implemented by each stand-in."""
        raise NotImplementedError

    def start_in_thread(self) -> None:
        """Listen in a background thread until `stop`."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready.set)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the stand-in did not start")

    def stop(self) -> None:
        """Stop listening and close every connection."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    def serve(self) -> None:
        """Listen until SIGTERM or SIGINT. Prints the URL first."""
        asyncio.run(self._run(lambda: print(f"listening on {self.url}", flush=True), with_signals=True))

    async def _run(self, ready: Callable[[], object], *, with_signals: bool = False) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT) if with_signals else ():
            self._loop.add_signal_handler(number, self._stopped.set)
        server = await self._loop.create_server(
            lambda: Connection(self), self.host, self.port, backlog=4096, ssl=self.tls
        )
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await self._stopped.wait()
        server.close()
        for connection in list(self.open_connections):
            connection.transport.abort()
