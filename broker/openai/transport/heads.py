"""Heads of HTTP responses (RFC 9112, 4 and 5), and the framing of the body that each announces. Pure.

http.client reads heads with the parser for e-mail, which takes longer than all else in a call.
"""

import http.client
import re

from broker.openai.transport.chunks import ChunkReader

MAX_HEAD = 65_536  # bytes
END = b"\r\n\r\n"
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,15}")


class Head:
    """Status and fields of a response; names in lower case, a field that is repeated joined with commas."""

    __slots__ = ("_minor", "fields", "status")

    def __init__(self, text: bytes) -> None:
        """`text`: the head without its blank line. Raises `http.client.HTTPException` where it is none."""
        first, *lines = text.decode("latin-1").split("\r\n")
        match = _STATUS.fullmatch(first)
        if match is None:
            raise http.client.BadStatusLine("no HTTP response")
        self._minor, self.status = match[1], int(match[2])
        self.fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not _NAME.fullmatch(name):
                raise http.client.HTTPException("a line of the head is no field")
            name, value = name.lower(), value.strip(" \t")
            self.fields[name] = f"{self.fields[name]}, {value}" if name in self.fields else value

    @property
    def is_final(self) -> bool:
        """Whether this is the answer, and no word before it (1xx)."""
        return self.status >= 200

    @property
    def keeps_connection(self) -> bool:
        """Whether the connection serves another exchange once the body is read."""
        wish = self.fields.get("connection", "").lower()
        return "close" not in wish and (self._minor == "1" or "keep-alive" in wish)

    def framing(self) -> "ChunkReader | LengthReader | EndReader":
        """What takes the body's framing off: RFC 9112, 6.3. Raises `http.client.HTTPException`."""
        if self.status in (204, 304):
            return LengthReader(0)
        coding = self.fields.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked":
                raise http.client.HTTPException("a transfer coding that is not known")
            return ChunkReader()
        length = self.fields.get("content-length")
        if length is None:
            return EndReader()
        if not _LENGTH.fullmatch(length):
            raise http.client.HTTPException("a length that is no number")
        return LengthReader(int(length))


class LengthReader:
    """A body of a length that is known."""

    __slots__ = ("_left",)

    ends_with_connection = False

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises `http.client.HTTPException` where it is more than was announced."""
        if len(data) > self._left:
            raise http.client.HTTPException("a body is longer than it says")
        self._left -= len(data)
        return data


class EndReader:
    """A body that ends when the connection does."""

    __slots__ = ()

    ends_with_connection = True
    complete = False

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`: all of it."""
        return data
