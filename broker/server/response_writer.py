"""Answers on their way to the client, each piece with one call of the kernel.

gunicorn sends the head by itself, and gevent's `sendall` first asks how large the buffer is: three calls where one
will do, and a stream makes them for every token.
"""

import email.utils
import socket
import time
from typing import Any

from gunicorn.http.wsgi import Response


class AnswerWriter(Response):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's response, whose head goes out with the first bytes of the body."""

    headers: list[tuple[str, str]]

    def __init__(self, req: Any, sock: socket.socket, cfg: Any) -> None:
        super().__init__(req, sock, cfg)
        self.headers_sent = False
        self._head = b""

    def should_close(self) -> bool:
        """Whether the connection ends with this answer, also because too much of the request is unread."""
        return bool(self.req.body.is_pending or super().should_close())

    def send_headers(self) -> None:
        """The head is complete; it waits for the first bytes, or for `close`."""
        if self.headers_sent:
            return
        lines = self.default_headers()
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        lines.append("\r\n")
        self._head = "".join(lines).encode("latin-1")
        self.headers_sent = True
        self.headers = []

    def default_headers(self) -> list[str]:
        """What an answer begins with."""
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\nDate: {_date(int(time.time()))}\r\nConnection: {connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def close(self) -> None:
        """The body is complete."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        elif self._head:
            self._send(b"")

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if not self.headers_sent:
            self.send_headers()
        if not self.chunked:
            super().write(data)
        elif data:
            self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def _emit_body(self, data: bytes) -> None:
        """Called by gunicorn with each piece of a body whose length is known."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        sent = self.sock.send(data)
        if sent < len(data):
            self.sock.sendall(data[sent:])


_last: tuple[int, str] = (0, "")


def _date(now: int) -> str:
    """A Unix time as HTTP has it; an answer's second is mostly the last one's."""
    global _last  # noqa: PLW0603 - one cell, and whoever comes late writes the same
    if _last[0] != now:
        _last = (now, email.utils.formatdate(now, usegmt=True))
    return _last[1]
