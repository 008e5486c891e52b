"""Faults become bytes in one place, in one shape."""

import json
import logging
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug import exceptions

from broker.errors.base import ClientLeft, Fault, SignInUnavailable, TokenInvalid
from broker.errors.openai import OpenAIRateLimited, StreamBroken
from broker.web import error_handlers
from tests.apps import make_app


def app_that_raises(error: Exception) -> Flask:
    app = make_app()

    def view() -> str:
        raise error

    app.add_url_rule("/raise", view_func=view)
    return app


def app_that_streams(lines: Iterator[bytes]) -> Flask:
    app = make_app()
    last = b'{"error": "Error while streaming"}\n'
    app.add_url_rule("/lines", view_func=lambda: error_handlers.stream(lines, lambda _: last, error_handlers.JSON))
    return app


@pytest.mark.parametrize(("error", "status", "code"), [
    (TokenInvalid(), 401, "invalid_token"), (StreamBroken(), 502, "openai_stream_broken"),
    (Fault(), 500, "internal_error"), (RuntimeError("planted"), 500, "internal_error"),
    (exceptions.Gone(), 410, "invalid_request"), (exceptions.NotImplemented(), 501, "internal_error"),
])  # fmt: skip
def test_every_error_has_the_same_shape(error: Exception, status: int, code: str) -> None:
    """A sentence, a null, a word."""
    response = app_that_raises(error).test_client().get("/raise")
    assert response.status_code == status
    assert response.mimetype == "application/json"
    body = json.loads(response.data)
    assert set(body) == {"error", "message", "code"}
    assert (body["message"], body["code"]) == (None, code)
    assert body["error"]


@pytest.mark.parametrize(("wait", "header"), [(None, "1"), (0.2, "1"), (2.1, "3"), (17, "17")])
def test_a_503_says_when_to_come_back(wait: float | None, header: str) -> None:
    """In whole seconds (RFC 9110, 10.2.3), never too early."""
    for fault in (SignInUnavailable(retry_after=wait), OpenAIRateLimited(retry_after=wait)):
        assert app_that_raises(fault).test_client().get("/raise").headers["Retry-After"] == header


def test_an_accident_says_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """The log gets its place, the client only that it happened."""
    response = app_that_raises(KeyError("sk-planted")).test_client().get("/raise")
    assert b"planted" not in response.data
    assert "planted" not in caplog.text.partition("Traceback")[0]
    assert [record.levelno for record in caplog.records if record.name == "broker.web.error_handlers"] == [
        logging.ERROR
    ]


def test_a_fault_of_werkzeugs_own_gets_our_words() -> None:
    """Not its HTML."""
    assert app_that_raises(exceptions.Conflict()).test_client().get("/raise").is_json


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
