"""The chunked framing, taken apart."""

import http.client
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.openai.transport.chunks import ChunkReader


def framed(payloads: list[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(payload), payload) for payload in payloads) + end


@given(
    payloads=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    places=st.lists(st.integers(0, 500), max_size=8),
    end=st.sampled_from([b"0\r\n\r\n", b"0\r\nx: y\r\nz: 1\r\n\r\n", b"000;a=b\r\n\r\n"]),
)
def test_any_cut_gives_the_payload(payloads: list[bytes], places: list[int], end: bytes) -> None:
    """However receives cut the bytes, the payload is whole and the end is seen."""
    data = framed(payloads, end)
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    reader = ChunkReader()
    got = b"".join(reader.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    assert got == b"".join(payloads)
    assert reader.complete


def test_one_feed_gives_all_chunks_that_it_brought() -> None:
    """Many tokens of one receive come out at once."""
    assert ChunkReader().feed(framed([b"a", b"b", b"c"])) == b"abc"


def test_a_body_that_is_cut_is_not_complete() -> None:
    """Only the last chunk ends a body."""
    reader = ChunkReader()
    reader.feed(framed([b"a"], end=b""))
    assert not reader.complete


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"\r\n", b"-1\r\n", b"0x5\r\nhello\r\n", b"1\r\nabc\r\n", b"f" * 17 + b"\r\n", b"1" * 9000]
)
def test_broken_framing_is_an_error(data: bytes) -> None:
    """Never guessed at: another chunk's bytes must not become text."""
    with pytest.raises(http.client.HTTPException):
        ChunkReader().feed(data)
