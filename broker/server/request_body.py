"""Request bodies, read more strictly than gunicorn reads them.

gunicorn accepts a body shorter than its Content-Length, accepts any number of chunks, and reads everything
that the app left unread to keep the connection alive. Here a short body is a fault, the number of chunks is
bounded, and `is_pending` lets the worker close the connection instead of reading on.
"""

from collections.abc import Callable
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import NoMoreData, ParseException

from broker.errors.request import BodyBroken

MAX_CHUNKS = 2_048  # of one body: each costs some microseconds, however small
WORTH_READING = 65_536  # unread bytes that are discarded to keep a connection


class RequestBody(Body):  # type: ignore[misc]  # gunicorn has no types
    """A request body. Reading raises `BodyBroken` if it is cut short or framed wrongly."""

    def __init__(self, reader: Any) -> None:
        """`reader`: gunicorn's reader, still unread."""
        super().__init__(reader)
        if isinstance(reader, ChunkedReader):
            reader.parse_chunk_size = _counted(reader.parse_chunk_size)

    @property
    def is_pending(self) -> bool:
        """Whether too much is unread, or may still arrive, for the connection to be kept."""
        if self.failed:
            return True
        if isinstance(self.reader, ChunkedReader):
            return self.reader.parser is not None
        return isinstance(self.reader, LengthReader) and self.reader.length > WORTH_READING

    def read(self, size: int | None = None) -> bytes:
        """Read at most `size` bytes. gunicorn copies a small body several times on its way from buffer to buffer."""
        if size and size <= WORTH_READING and isinstance(self.reader, LengthReader) and not self.buf.tell():
            return self._read_reader(size)
        data: bytes = super().read(size)
        return data

    def _read_reader(self, size: int) -> bytes:
        try:
            if isinstance(self.reader, LengthReader):
                return self._read_length(size)
            data: bytes = super()._read_reader(size)
        except (ParseException, OSError):
            self.failed = True
            raise BodyBroken from None
        return data

    def _read_length(self, size: int) -> bytes:
        """Reads without gunicorn's read-ahead, which copies a megabyte with each read."""
        expected = min(self.reader.length, size)
        data: bytes = self.reader.unreader.read(expected)
        self.reader.length -= len(data)
        if len(data) < expected:
            raise NoMoreData
        return data


def _counted(parse_chunk_size: Callable[..., Any]) -> Callable[..., Any]:
    left = MAX_CHUNKS

    def parse(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ParseException
        return parse_chunk_size(*arguments, **options)

    return parse
