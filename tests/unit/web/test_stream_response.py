"""Streamed responses and their ends."""

from collections.abc import Iterator

import pytest
from flask import Flask

from broker.errors.base import ClientLeft
from broker.errors.openai import StreamBroken
from broker.web import stream_response
from tests.apps import make_app


def app_that_streams(lines: Iterator[bytes]) -> Flask:
    app = make_app()
    last = b'{"error": "Error while streaming"}\n'
    app.add_url_rule("/lines", view_func=lambda: stream_response.stream(lines, lambda _: last, "application/json"))
    return app


def lines_then(error: Exception | None) -> Iterator[bytes]:
    yield b'{"data": "a"}\n'
    if error:
        raise error
    yield b'{"data": "b"}\n'


@pytest.mark.parametrize("error", [StreamBroken(), RuntimeError("planted")])
def test_a_fault_within_a_stream_is_its_last_line(error: Exception) -> None:
    """The status has been sent already."""
    response = app_that_streams(lines_then(error)).test_client().get("/lines")
    assert (response.status_code, response.data) == (200, b'{"data": "a"}\n{"error": "Error while streaming"}\n')


def test_a_stream_whose_client_left_is_not_completed() -> None:
    """The fault reaches the server, which ends the connection without the last chunk."""
    with pytest.raises(ClientLeft):
        app_that_streams(lines_then(ClientLeft())).test_client().get("/lines", buffered=True)


def test_a_stream_is_not_buffered_on_its_way() -> None:
    """Neither nginx nor a cache buffers it."""
    response = app_that_streams(lines_then(None)).test_client().get("/lines")
    assert response.data == b'{"data": "a"}\n{"data": "b"}\n'
    assert (response.headers["X-Accel-Buffering"], response.headers["Cache-Control"]) == ("no", "no-store")
    assert "Content-Length" not in response.headers
