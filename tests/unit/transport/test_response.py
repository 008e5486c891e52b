"""Parsing of responses, wherever the network cuts their bytes."""

import http.client
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.transport.response import Response
from tests.responses import BODY, CLEAR, MALFORMED, UNSOLICITED
from tests.servers import FakeSocket


def read(pieces: list[bytes]) -> tuple[Response, bytes]:
    response = Response(FakeSocket(pieces), lambda _: None)
    return response, b"".join(iter(response.read1, b""))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(name=st.sampled_from(sorted(CLEAR)), places=st.lists(st.integers(0, 500), max_size=8))
def test_a_clear_response_is_read_however_it_is_cut(name: str, places: list[int]) -> None:
    response, body = read(cut(CLEAR[name], places))
    assert (response.status_code, body) == (200, BODY)


@given(name=st.sampled_from(sorted(MALFORMED)), places=st.lists(st.integers(0, 500), max_size=8))
def test_a_malformed_response_is_an_error_however_it_is_cut(name: str, places: list[int]) -> None:
    """Nothing is guessed, and lost text is never a success."""
    with pytest.raises(http.client.HTTPException):
        read(cut(MALFORMED[name], places))


def test_fields_have_lower_case_names_and_all_their_values() -> None:
    assert read([CLEAR["repeated field"]])[0].headers["x"] == "1, 2"


def test_fields_of_interim_responses_are_dropped() -> None:
    assert "link" not in read([CLEAR["interim responses"]])[0].headers


def test_all_chunks_of_one_receive_are_one_piece() -> None:
    """Many tokens that came together cost one write to the client."""
    assert Response(FakeSocket([CLEAR["chunked"]]), lambda _: None).read1() == BODY


@pytest.mark.parametrize(
    ("data", "keeps"),
    [
        (CLEAR["plain"], True),
        (CLEAR["chunked"], True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (CLEAR["to the end of the connection"], False),
    ],
)
def test_a_connection_is_kept_as_its_version_allows(data: bytes, keeps: bool) -> None:
    """RFC 9112, 9.3, defines it."""
    sock, kept = FakeSocket([data]), list[Any]()
    response = Response(sock, kept.append)
    b"".join(iter(response.read1, b""))
    assert (kept == [sock], sock.is_closed) == (keeps, not keeps)


@pytest.mark.parametrize("data", UNSOLICITED)
def test_unsolicited_data_after_the_body_costs_the_connection(data: bytes) -> None:
    """The data would be taken for the next response."""
    sock, kept = FakeSocket([data]), list[Any]()
    assert b"".join(iter(Response(sock, kept.append).read1, b"")) == BODY
    assert (kept, sock.is_closed) == ([], True)


def test_unsolicited_compression_is_decoded() -> None:
    assert read([CLEAR["gzip"]])[1] == BODY


def test_an_answer_that_came_before_the_upload_ended_is_read() -> None:
    data = CLEAR["plain"]
    response = Response(FakeSocket([data[20:]]), lambda _: None, data[:20])
    assert b"".join(iter(response.read1, b"")) == BODY


def test_a_connection_that_closes_before_a_response_is_no_cut_response() -> None:
    """The request may be sent again only if no byte of a response arrived."""
    with pytest.raises(ConnectionResetError):
        read([])
