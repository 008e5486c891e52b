"""One request to a stand-in and the ways to answer it: whole, in chunks, cut short or not at all."""

import asyncio
import json
import re
import select
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Headers = dict[str, str]


@dataclass
class Request:
    """One request. Header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON; an empty object if it is not valid JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


# non-empty text of a completion, a response, a chunk or an event
_TEXT = re.compile(rb'"(?:content|delta|text)": ?"[^"]')


@dataclass
class Exchange:
    """A request and its connection."""

    request: Request
    transport: asyncio.Transport
    left: asyncio.Event  # set when the peer disconnects
    first_text_at: float | None = None  # when the first text was sent (monotonic seconds)

    def reply(self, status: int, content: object, headers: Headers | None = None) -> None:
        """Send a whole response. `content` is bytes or any JSON value."""
        body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
        all_headers = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self._note_text(body, is_stream=False)
        self.send(_head(status, all_headers) + body)

    def start(self, status: int, headers: Headers) -> None:
        """Send the head of a chunked response."""
        self.send(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        """Send one HTTP chunk."""
        self._note_text(data, is_stream=True)
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        """Send the last chunk."""
        self.send(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.transport.write(data)

    def _note_text(self, data: bytes, *, is_stream: bool) -> None:
        asked_for = bool(self.request.json().get("stream")) is is_stream
        if self.first_text_at is None and asked_for and _TEXT.search(data) and not self._is_disconnected():
            self.first_text_at = time.monotonic()

    def _is_disconnected(self) -> bool:
        """Whether the peer has disconnected, even if the event loop has not noticed yet."""
        if self.left.is_set() or self.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLRDHUP)
        return bool(poll.poll(0))

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection; `reset` sends RST instead of FIN."""
        if reset:
            option = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.transport.abort()
        else:
            self.transport.close()

    async def pause(self, seconds: float) -> bool:
        """Wait `seconds`; returns whether the peer is still connected."""
        if self.left.is_set() or seconds <= 0:
            return not self.left.is_set()
        try:
            await asyncio.wait_for(self.left.wait(), seconds)
        except TimeoutError:
            return True
        return False


def read_head(head: bytes) -> Request:
    """Parse a request head; the body stays empty."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), {n.lower(): v.strip() for n, v in pairs})


def _head(status: int, headers: Headers) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Stand-in\r\n{lines}\r\n".encode()
