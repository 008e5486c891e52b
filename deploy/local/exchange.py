"""One request to a stand-in, and all the ways to answer it: well, piece by piece, cut short, or not at all."""

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


_TEXT = re.compile(rb'"content": ?"[^"]')  # of a completion, whole or a piece of one, that is not empty


@dataclass
class Exchange:
    """A request and the way to answer it."""

    request: Request
    transport: asyncio.Transport
    left: asyncio.Event  # set once the peer has left
    spoke: float | None = None  # when the first text of an answer was sent, in the way that was asked for

    def reply(self, status: int, content: object, headers: Headers | None = None) -> None:
        """Answer in one piece: `content` is bytes, or anything that becomes JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
        all_headers = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        self._note_text(body, is_stream=False)
        self.send(_head(status, all_headers) + body)

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer that is sent in chunks."""
        self.send(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def chunk(self, data: bytes) -> None:
        """One HTTP chunk."""
        self._note_text(data, is_stream=True)
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        """The chunk that ends an answer."""
        self.send(b"0\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.transport.write(data)

    def _note_text(self, data: bytes, *, is_stream: bool) -> None:
        asked_for = bool(self.request.json().get("stream")) is is_stream
        if self.spoke is None and asked_for and _TEXT.search(data) and not self._is_hung_up():
            self.spoke = time.monotonic()

    def _is_hung_up(self) -> bool:
        """Whether the peer has left, also where the event loop was too busy to hear of it."""
        if self.left.is_set() or self.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLRDHUP)
        return bool(poll.poll(0))

    def cut(self, *, reset: bool = False) -> None:
        """End the connection in the midst; with `reset` as if the machine had died."""
        if reset:
            option = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            self.transport.abort()
        else:
            self.transport.close()

    async def pause(self, seconds: float) -> bool:
        """Wait; whether the peer is still there then."""
        if self.left.is_set() or seconds <= 0:
            return not self.left.is_set()
        try:
            await asyncio.wait_for(self.left.wait(), seconds)
        except TimeoutError:
            return True
        return False


def read_head(head: bytes) -> Request:
    """The request that begins with `head`, still without its body."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    parts = urlsplit(target)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), {n.lower(): v.strip() for n, v in pairs})


def _head(status: int, headers: Headers) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Stand-in\r\n{lines}\r\n".encode()
