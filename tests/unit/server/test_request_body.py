"""Request bodies are read whole or raise a fault; large unread bodies are not drained."""

import pytest
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.unreader import IterUnreader

from broker.errors.request import BodyBroken
from broker.server.request_body import MAX_CHUNKS, WORTH_READING, RequestBody


def of_length(length: int, *pieces: bytes) -> RequestBody:
    return RequestBody(LengthReader(IterUnreader(pieces), length))


def in_chunks(*pieces: bytes) -> RequestBody:
    return RequestBody(ChunkedReader(None, IterUnreader(pieces)))


@pytest.mark.parametrize("body", [
    of_length(5, b"hello"), of_length(5, b"he", b"l", b"lo, and the next request"),
    in_chunks(b"5\r\nhello\r\n0\r\n\r\n"), in_chunks(b"2\r", b"\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n"),
])  # fmt: skip
def test_a_body_is_read_whole(body: RequestBody) -> None:
    """Every framing works. Nothing is pending afterwards, and the connection is kept."""
    assert body.read(3) + body.read(1000) == b"hello"
    assert body.read(1000) == b""
    assert not body.is_pending


@pytest.mark.parametrize("body", [
    of_length(6, b"hello"), of_length(1, b""), in_chunks(b"5\r\nhello\r\n"), in_chunks(b"5\r\nhel"),
    in_chunks(b"x\r\n\r\n"), in_chunks(b"5\r\nhello!\r\n0\r\n\r\n"),
    in_chunks(b"1\r\nx\r\n" * (MAX_CHUNKS + 1) + b"0\r\n\r\n"),
])  # fmt: skip
def test_a_body_with_wrong_framing_is_a_fault(body: RequestBody) -> None:
    """It is cut short, framed wrongly, or in too many chunks. Its connection is not read further."""
    with pytest.raises(BodyBroken):
        body.read(100_000)
    assert body.is_pending


@pytest.mark.parametrize(("body", "is_pending"), [
    (of_length(0), False), (of_length(WORTH_READING, b"x"), False), (of_length(WORTH_READING + 1, b"x"), True),
    (in_chunks(b"0\r\n\r\n"), True),
])  # fmt: skip
def test_a_large_unread_body_is_pending(body: RequestBody, is_pending: bool) -> None:
    """A small rest is discarded and the connection kept; chunks may be endless."""
    assert body.is_pending is is_pending
