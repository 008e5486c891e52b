"""Chunked bodies (RFC 9112, 7.1), taken apart as they come. Pure."""

import http.client
import re

MAX_LINE = 8_192  # bytes of a chunk's size line, or of a trailer, that are put up with
_SIZE_LINE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class ChunkReader:
    """Takes the framing off a chunked body, fed in whatever pieces."""

    __slots__ = ("_in_trailers", "_is_amid", "_is_closing", "_left", "_rest", "complete")

    ends_with_connection = False

    def __init__(self) -> None:
        self._rest = b""  # of a line of framing that has not come as a whole
        self._left = 0  # bytes of the present chunk's payload that are still to come
        self._is_closing = False  # the CRLF behind that payload is still to come
        self._in_trailers = False
        self._is_amid = False  # whether the next byte is not a chunk's first
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises `http.client.HTTPException` where the framing is broken."""
        if not self._is_amid:
            start = data.find(b"\r\n") + 2
            size = len(data) - start - 2
            if size > 0 and data.startswith(b"%x\r\n" % size) and data.endswith(b"\r\n"):
                return data[start:-2]  # one whole chunk, as nearly every receive of a stream
        data = self._rest + data
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.complete:
            if self._left:
                pieces.append(data[at : at + self._left])
                at += len(pieces[-1])
                self._left -= len(pieces[-1])
            elif next_at := self._read_line(data, at):
                at = next_at
            else:
                break
        self._rest = data[at:]
        if self.complete and self._rest:
            raise http.client.HTTPException("a body goes on behind its end")
        self._is_amid = bool(self._rest or self._left or self._is_closing or self._in_trailers)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_line(self, data: bytes, at: int) -> int:
        """Read the line of framing that begins at `at`; where the next one does, 0 where it has not come as a whole."""
        if self._is_closing:
            if data[at : at + 2] == b"\r\n":
                self._is_closing = False
                return at + 2
            if data[at:] != b"\r":
                raise http.client.HTTPException("a chunk is longer than it says")
            return 0
        end = data.find(b"\r\n", at)
        if end < 0 or end - at > MAX_LINE:
            if len(data) - at > MAX_LINE:
                raise http.client.LineTooLong("chunk size")
            return 0
        if self._in_trailers:
            self.complete = end == at
        else:
            self._read_size(data, at)
        return end + 2

    def _read_size(self, data: bytes, at: int) -> None:
        match = _SIZE_LINE.match(data, at)
        if match is None:
            raise http.client.HTTPException("a chunk's size is no hexadecimal number")
        self._left = int(match[1], 16)
        self._in_trailers = not self._left
        self._is_closing = bool(self._left)
