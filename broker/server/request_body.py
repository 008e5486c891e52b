"""The body of a client's request as gunicorn reads it, where it is not what its head says.

gunicorn takes a body that ends before its Content-Length for a whole one, reads a body in any number
of chunks, and reads on and on what the app left unread, to keep the connection. Here the first is a
fault, the second is bounded, and the third is `is_pending`: for `worker` to hang up instead.
"""

from collections.abc import Callable
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import NoMoreData, ParseException

from broker.errors.request import BodyBroken

MAX_CHUNKS = 2_048  # of one body: each costs some microseconds, however little is in it
WORTH_READING = 65_536  # unread bytes that are read and thrown away to keep a connection


class ClientBody(Body):  # type: ignore[misc]  # gunicorn has no types
    """A body, read by the app; raises `BodyBroken` where it is cut short or framed wrongly."""

    def __init__(self, reader: Any) -> None:
        """`reader`: gunicorn's, of which nothing is read yet."""
        super().__init__(reader)
        if isinstance(reader, ChunkedReader):
            reader.parse_chunk_size = _counted(reader.parse_chunk_size)

    @property
    def is_pending(self) -> bool:
        """Whether so much is unread, or may come, that the connection is better ended."""
        if self.failed:
            return True
        if isinstance(self.reader, ChunkedReader):
            return self.reader.parser is not None
        return isinstance(self.reader, LengthReader) and self.reader.length > WORTH_READING

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
        """As gunicorn does, less the reading ahead, for which it copies a megabyte with each read."""
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
