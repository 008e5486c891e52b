"""Responses, parsed by llhttp (`httptools`). The body comes in the pieces in which the network brings it:
`http.client` returns one HTTP chunk at a time, and OpenAI sends one chunk per token.
"""

import logging
import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPException, IncompleteRead
from typing import Any, Self

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from broker.transport.receiver import Receiver

MAX_HEAD = 65_536  # bytes
_GZIP_OR_ZLIB = 47  # window bits: https://docs.python.org/3/library/zlib.html#zlib.decompress

log = logging.getLogger(__name__)


class Malformed(HTTPException):
    """These bytes are no HTTP response. OpenAI may have done its work, so the request is not sent again."""


class Response:
    """A response whose head has been read. Has the members of `requests.Response` that the clients use."""

    __slots__ = (
        "_decoder", "_fields", "_has_head", "_is_complete", "_is_compressed", "_is_ended_by_close", "_parser",
        "_pieces", "_receiver", "_release", "_size", "_sock", "headers", "status_code",
    )  # fmt: skip

    def __init__(self, sock: Any, release: Callable[[Any], None], first: bytes | None = None) -> None:
        """Read the head. `first`: bytes that have been received already; b"" if the connection is closed.

        `release` is called with the socket after the body if the connection can be used again. Raises TimeoutError,
        another OSError, or `Malformed`.
        """
        self._sock: Any = sock
        self._receiver = Receiver(sock)
        self._release = release
        self._parser: Any = HttpResponseParser(self)
        self._fields: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._has_head = self._is_complete = self._is_compressed = self._is_ended_by_close = False
        self._decoder: Any = None
        while not self._has_head:
            data = self._receiver.receive() if first is None else first
            first = None
            self._size += len(data)
            self._feed(data)
            if self._size > MAX_HEAD:
                raise Malformed("the head is too long")
        self.headers: Mapping[str, str] = self._fields  # names in lower case

    @property
    def raw(self) -> Self:
        """The object that the body is read from."""
        return self

    def read1(self, _: int = -1) -> bytes:
        """The next piece of the body; b"" at the end. Raises OSError, or HTTPException if the body is cut."""
        while not self._pieces and not self._is_complete and self._sock is not None:
            self._feed(self._receiver.receive())
        payload = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._is_complete and self._sock is not None:
            self._finish()
        return payload

    def set_timeout(self, seconds: float) -> None:
        """Bound each wait from now on."""
        if self._sock is not None:
            self._receiver.set_timeout(seconds)

    def close(self) -> None:
        """Close the connection unless the body has been read to its end."""
        if self._sock is not None:
            self._detach().close()
            self._parser = None

    def _detach(self) -> Any:
        sock, self._sock = self._sock, None
        self._receiver.close()
        return sock

    def _finish(self) -> None:
        sock, parser = self._detach(), self._parser
        self._parser = None
        if not self._is_ended_by_close and self._keeps_connection(parser):
            self._release(sock)
        else:
            sock.close()

    def _keeps_connection(self, parser: Any) -> bool:
        """RFC 9112, 9.3."""
        options = self._fields.get("connection", "").lower()
        return "close" not in options and (parser.get_http_version() == "1.1" or "keep-alive" in options)

    def _feed(self, data: bytes) -> None:
        if not data:
            self._end_by_close()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if self._is_complete:  # unsolicited data after the body: the connection is not reused
                self._is_ended_by_close = True
                return
            if isinstance(error.__context__, HTTPException):  # raised by one of the methods below
                raise error.__context__ from None
            # llhttp's message names a rule of HTTP and quotes nothing of the response
            log.warning("a response is malformed", extra={"reason": str(error)})
            raise Malformed("the response is malformed") from None
        except HttpParserUpgrade:  # status 101, which no request of ours allows (RFC 9110, 15.2.2)
            raise _malformed("the response switches to another protocol") from None

    def _end_by_close(self) -> None:
        if self._has_head and self._is_ended_by_close:
            self.on_message_complete()
        elif self._has_head:
            raise IncompleteRead(b"")
        elif self._size:
            raise Malformed("the head is cut")
        else:
            raise ConnectionResetError("the connection was closed before a response")

    # called by the parser

    def on_message_begin(self) -> None:
        """A response begins. After a complete one it is unsolicited."""
        if self._is_complete:
            raise Malformed("data after the end of the body")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field. Values of repeated fields are joined with commas."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        self._fields[key] = f"{self._fields[key]}, {text}" if key in self._fields else text

    def on_headers_complete(self) -> None:
        """The head is complete; interim responses (1xx; RFC 9110, 15.2) are skipped."""
        status = self._parser.get_status_code()
        if status < 200:
            self._fields.clear()
            return
        self.status_code = status
        self._has_head = True
        coding, length = self._fields.get("transfer-encoding"), self._fields.get("content-length")
        if coding is not None and coding.lower() != "chunked":
            raise Malformed("an unknown transfer coding")
        self._is_ended_by_close = coding is None and length is None and status not in (204, 304)
        self._choose_decoder(self._fields.get("content-encoding", "identity").lower())

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._is_compressed:
            data = self._decode(data)
        if data:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The response ends."""
        if self._decoder is not None and not self._decoder.eof:
            raise _malformed("the compressed body is cut")
        self._is_complete = self._has_head

    def _choose_decoder(self, encoding: str) -> None:
        if encoding in ("", "identity"):
            return
        if encoding not in ("gzip", "x-gzip", "deflate"):
            log.warning("a response has an unknown content encoding", extra={"encoding": encoding[:20]})
            raise Malformed("an unknown content encoding")
        self._is_compressed = True

    def _decode(self, data: bytes) -> bytes:
        """The decoded bytes. The body may have several members (RFC 1952, 2.2), and zeros after each."""
        decoded = b""
        while data:
            if self._decoder is None or self._decoder.eof:
                self._decoder = None
                if not (data := data.lstrip(b"\0")):
                    break
                self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                decoded += self._decoder.decompress(data)
            except zlib.error:
                raise _malformed("the body is not compressed as its head says") from None
            data = self._decoder.unused_data
        return decoded


def _malformed(reason: str) -> Malformed:
    log.warning("a response is malformed", extra={"reason": reason})
    return Malformed(reason)
