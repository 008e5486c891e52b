"""The bytes of a response, and the number of its system calls."""

import types
from typing import Any

import pytest
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName

from broker.server.response_writer import ResponseWriter


class Socket:
    """Records the bytes sent; the first `send` takes `takes` bytes."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.takes = takes
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data[: self.takes]))
        return len(self.sent[-1])


def request(method: str = "GET", *, is_pending: bool = False) -> Any:
    body = types.SimpleNamespace(is_pending=is_pending)
    return types.SimpleNamespace(version=(1, 1), method=method, should_close=lambda: False, body=body)


def writer(socket: Any, headers: list[tuple[str, str]], method: str = "GET", status: str = "200 OK") -> ResponseWriter:
    made = ResponseWriter(request(method), socket, types.SimpleNamespace())
    made.start_response(status, headers)
    return made


def test_head_and_body_go_out_together() -> None:
    """One system call sends a whole response."""
    socket = Socket()
    answer = writer(socket, [("Content-Length", "2"), ("X-Y", "z")])
    answer.write(b"hi")
    answer.close()
    head, _, body = socket.sent[0].partition(b"\r\n\r\n")
    assert (len(socket.sent), body) == (1, b"hi")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert lines[3] == b"Connection: keep-alive"
    assert sorted(lines[4:]) == [b"Content-Length: 2", b"X-Y: z"]
    assert lines[2].startswith(b"Date: ")
    assert lines[2].endswith(b" GMT")


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\n", "\x00", "\x7f", "→"])
def test_a_value_with_a_line_break_is_refused(value: str) -> None:
    """So is any other control character, in whichever field it stands."""
    with pytest.raises(InvalidResponseHeader):
        writer(Socket(), [("X-A", "fine"), ("X-B", value), ("X-C", "fine")])


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "ä"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    """The verdict on a name is cached."""
    for _ in range(2):
        with pytest.raises(InvalidResponseHeaderName):
            writer(Socket(), [(name, "fine")])


def test_the_app_does_not_decide_about_the_connection() -> None:
    """Hop-by-hop fields are the server's (PEP 3333)."""
    answer = writer(
        Socket(), [("Connection", "close"), ("Content-Length", "2"), ("Transfer-Encoding", "x"), ("X-Y", "z")]
    )
    assert sorted(answer.headers) == [("Content-Length", "2"), ("X-Y", "z")]


def test_a_stream_goes_out_piece_by_piece() -> None:
    """Each piece is a chunk, sent at once, the first one with the head."""
    socket = Socket()
    answer = writer(socket, [])
    for piece in (b"one", b"", b"two"):
        answer.write(piece)
    assert socket.sent[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    assert socket.sent[1:] == [b"3\r\ntwo\r\n"]
    answer.close()
    assert socket.sent[2:] == [b"0\r\n\r\n"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content")])
def test_an_answer_without_a_body_is_its_head(method: str, status: str) -> None:
    """The head is sent when the response is complete."""
    socket = Socket()
    answer = writer(socket, [("X-Y", "z")], method, status)
    answer.write(b"hi")
    assert socket.sent == []
    answer.close()
    assert b"".join(socket.sent).endswith(b"X-Y: z\r\n\r\n")


def test_the_rest_follows_a_partial_send() -> None:
    """No byte is lost with a slow client."""
    socket = Socket(takes=5)
    answer = writer(socket, [("Content-Length", "1000")])
    answer.write(b"x" * 1000)
    assert {len(piece) for piece in socket.sent[:-1]} == {5}
    assert b"".join(socket.sent).endswith(b"\r\n\r\n" + b"x" * 1000)


def test_an_unread_request_body_closes_the_connection() -> None:
    """The response says `Connection: close`."""
    socket: Any = Socket()
    answer = ResponseWriter(request(is_pending=True), socket, types.SimpleNamespace())
    answer.start_response("413 Too Large", [("Content-Length", "0")])
    answer.close()
    assert b"\r\nConnection: close\r\n" in socket.sent[0]
    assert answer.should_close()
