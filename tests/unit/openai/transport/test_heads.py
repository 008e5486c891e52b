"""Heads of responses, and what they say of the body behind them."""

import http.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.openai.transport.chunks import ChunkReader
from broker.openai.transport.heads import EndReader, Head, LengthReader

NAMES = st.text("abcXYZ-_0", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=12)


@given(status=st.integers(200, 599), fields=st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_a_head_reads_as_it_was_written(status: int, fields: list[tuple[str, str]]) -> None:
    """Whatever stands in it; a name that is repeated has all its values."""
    lines = [f"HTTP/1.1 {status} Any reason", *(f"{name}: {value}" for name, value in fields)]
    head = Head("\r\n".join(lines).encode("latin-1"))
    assert head.status == status
    for name in {name.lower() for name, _ in fields}:
        assert head.fields[name] == ", ".join(v.strip(" \t") for n, v in fields if n.lower() == name)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 0200 OK",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\na b: c",
        b"HTTP/1.1 200 OK\r\na: b\r\n folded: c",
        b"HTTP/1.1 200 OK\r\n: c",
    ],
)
def test_what_is_no_head_is_an_error(text: bytes) -> None:
    """Never guessed at."""
    with pytest.raises(http.client.HTTPException):
        Head(text)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (b"Transfer-Encoding: Chunked\r\nContent-Length: 5", ChunkReader),
        (b"content-length: 5", LengthReader),
        (b"x: y", EndReader),
    ],
)
def test_the_framing_follows_from_the_fields(fields: bytes, kind: type) -> None:
    """Chunks before a length, and without either the connection's end."""
    assert isinstance(Head(b"HTTP/1.1 200 OK\r\n" + fields).framing(), kind)


@pytest.mark.parametrize(
    "fields",
    [b"transfer-encoding: gzip, chunked", b"content-length: -1", b"content-length: 5, 6", b"content-length: 0x5"],
)
def test_a_framing_that_is_not_known_is_an_error(fields: bytes) -> None:
    """One body's bytes must not become the next one's head."""
    with pytest.raises(http.client.HTTPException):
        Head(b"HTTP/1.1 200 OK\r\n" + fields).framing()


def test_no_content_has_no_body() -> None:
    """Whatever its head says."""
    assert Head(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked").framing().complete


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
    ],
)
def test_a_connection_is_kept_as_its_version_has_it(text: bytes, keeps: bool) -> None:
    """RFC 9112, 9.3."""
    assert Head(text).keeps_connection is keeps


def test_more_than_the_announced_length_is_an_error() -> None:
    """It would be taken for the next response."""
    with pytest.raises(http.client.HTTPException):
        LengthReader(3).feed(b"four")
