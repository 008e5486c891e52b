"""Writes responses with one system call per piece.

gunicorn sends the head separately, and gevent's `sendall` queries the buffer size first: three system calls
instead of one, for every token of a stream.
"""

import email.utils
import functools
import socket
import time
from typing import Any

from gunicorn.http.wsgi import HEADER_VALUE_RE, TOKEN_RE, Response
from gunicorn.util import is_hoppish


class ResponseWriter(Response):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's response; the head is sent together with the first bytes of the body."""

    headers: list[tuple[str, str]]

    def __init__(self, req: Any, sock: socket.socket, cfg: Any) -> None:
        super().__init__(req, sock, cfg)
        self.headers_sent = False
        self._head = b""

    def should_close(self) -> bool:
        """Whether the connection ends with this response, also because too much of the request is unread."""
        return bool(self.req.body.is_pending or super().should_close())

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Check the fields: all values at once, and each name once in a process. gunicorn does the rest."""
        if HEADER_VALUE_RE.fullmatch("".join([value for _, value in headers])):
            self.headers = [field for field in headers if _is_plain(field[0])]
            headers = [field for field in headers if not _is_plain(field[0])]
        super().process_headers(headers)

    def send_headers(self) -> None:
        """Complete the head. It is sent with the first bytes, or by `close`."""
        if self.headers_sent:
            return
        lines = self.default_headers()
        lines += [f"{name}: {value}\r\n" for name, value in self.headers]
        lines.append("\r\n")
        self._head = "".join(lines).encode("latin-1")
        self.headers_sent = True
        self.headers = []

    def default_headers(self) -> list[str]:
        """The status line and the fields that every response carries."""
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\n",
            f"Server: {self.version}\r\nDate: {_date(int(time.time()))}\r\nConnection: {connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def close(self) -> None:
        """Complete the body."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        elif self._head:
            self._send(b"")

    def write(self, data: bytes) -> None:
        """Send one piece of the body."""
        if not self.headers_sent:
            self.send_headers()
        if not self.chunked:
            super().write(data)
        elif data:
            self._send(b"%x\r\n%b\r\n" % (len(data), data))

    def _emit_body(self, data: bytes) -> None:
        """Send a piece of a body with a known length. Called by gunicorn."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        sent = self.sock.send(data)
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, data: memoryview) -> None:
        """Send to a slow client. The socket's time-out applies to each step: what counts is time without progress."""
        while data:
            data = data[self.sock.send(data) :]


@functools.lru_cache
def _is_plain(name: str) -> bool:
    """Whether gunicorn sends a field of this name as it is."""
    return bool(TOKEN_RE.fullmatch(name)) and not is_hoppish(name) and name.lower() != "content-length"


_last: tuple[int, str] = (0, "")


def _date(now: int) -> str:
    """A Unix time in HTTP's date format. The last result is cached: responses of one second share it."""
    global _last  # noqa: PLW0603 - a cache of one cell; a late writer writes the same
    if _last[0] != now:
        _last = (now, email.utils.formatdate(now, usegmt=True))
    return _last[1]
