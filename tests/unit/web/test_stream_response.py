"""Responses that are sent as they arrive, and how they end."""

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
    """The status is out already."""
    response = app_that_streams(lines_then(error)).test_client().get("/lines")
    assert (response.status_code, response.data) == (200, b'{"data": "a"}\n{"error": "Error while streaming"}\n')


def test_nothing_is_written_to_a_client_that_left() -> None:
    """There is nobody to read it."""
    assert app_that_streams(lines_then(ClientLeft())).test_client().get("/lines").data == b'{"data": "a"}\n'


def test_a_stream_is_not_buffered_on_its_way() -> None:
    """Neither by nginx nor by a cache."""
    response = app_that_streams(lines_then(None)).test_client().get("/lines")
    assert response.data == b'{"data": "a"}\n{"data": "b"}\n'
    assert (response.headers["X-Accel-Buffering"], response.headers["Cache-Control"]) == ("no", "no-store")
    assert "Content-Length" not in response.headers
