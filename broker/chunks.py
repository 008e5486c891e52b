"""Chunked bodies (RFC 9112, 7.1), taken apart as they come. Pure."""

import http.client

MAX_LINE = 8_192  # bytes of a chunk's size line, or of a trailer, that are put up with


class ChunkReader:
    """Takes the framing off a chunked body, fed in whatever pieces."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0  # bytes of the present chunk that are still to come, its CRLF included
        self._in_trailers = False
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises `http.client.HTTPException` where the framing is broken."""
        self._buffer += data
        payload: list[bytes] = []
        while self._buffer and not self.complete:
            if self._left > 2:
                payload.append(self._take_payload())
            elif not self._read_line():
                break
        return b"".join(payload)

    def _take_payload(self) -> bytes:
        part = self._buffer[: self._left - 2]
        self._buffer = self._buffer[len(part) :]
        self._left -= len(part)
        return part

    def _read_line(self) -> bool:
        """Take the next line of framing; False where it has not come as a whole."""
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            if len(line) > MAX_LINE:
                raise http.client.LineTooLong("chunk size")
            return False
        self._buffer = rest
        self._read_framing(line)
        return True

    def _read_framing(self, line: bytes) -> None:
        if self._left:  # the CRLF that closes a chunk
            if line:
                raise http.client.HTTPException("a chunk is longer than it says")
            self._left = 0
        elif self._in_trailers:
            self.complete = not line
        else:
            self._left = _size(line) + 2
            self._in_trailers = self._left == 2
            self._left = 0 if self._in_trailers else self._left


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or not all(c in b"0123456789abcdefABCDEF" for c in digits):
        raise http.client.HTTPException("a chunk's size is no hexadecimal number")
    return int(digits, 16)
