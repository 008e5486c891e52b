"""Every fault becomes an error response of the same format."""

import json
import logging

import pytest
from flask import Flask
from werkzeug import exceptions

from broker.errors.base import DailyLimitReached, Fault, SignInUnavailable, TokenInvalid
from broker.errors.openai import OpenAIRateLimited, StreamBroken
from tests.apps import make_app


def app_that_raises(error: Exception) -> Flask:
    app = make_app()

    def view() -> str:
        raise error

    app.add_url_rule("/raise", view_func=view)
    return app


@pytest.mark.parametrize(("error", "status", "code"), [
    (TokenInvalid(), 401, "invalid_token"), (StreamBroken(), 502, "openai_stream_broken"),
    (Fault(), 500, "internal_error"), (RuntimeError("planted"), 500, "internal_error"),
    (exceptions.Gone(), 410, "invalid_request"), (exceptions.NotImplemented(), 501, "internal_error"),
])  # fmt: skip
def test_every_error_has_the_same_format(error: Exception, status: int, code: str) -> None:
    """It has a sentence, a null and a code."""
    response = app_that_raises(error).test_client().get("/raise")
    assert response.status_code == status
    assert response.mimetype == "application/json"
    body = json.loads(response.data)
    assert set(body) == {"error", "message", "code"}
    assert (body["message"], body["code"]) == (None, code)
    assert body["error"]


@pytest.mark.parametrize(("wait", "header"), [(None, "1"), (0.2, "1"), (2.1, "3"), (17, "17")])
def test_a_503_has_a_retry_after(wait: float | None, header: str) -> None:
    """The value is in whole seconds (RFC 9110, 10.2.3), rounded up."""
    for fault in (SignInUnavailable(retry_after=wait), OpenAIRateLimited(retry_after=wait)):
        assert app_that_raises(fault).test_client().get("/raise").headers["Retry-After"] == header


@pytest.mark.parametrize(("wait", "under_v1"), [(3600, "3600"), (3601, None), (40_000, None)])
def test_a_retry_after_of_over_an_hour_is_left_out_under_v1(wait: float, under_v1: str | None) -> None:
    """Some clients wait for any time, and `x-should-retry` is false. The older endpoints keep the true value."""
    for fault in (DailyLimitReached(retry_after=wait), OpenAIRateLimited(retry_after=wait)):
        app = app_that_raises(fault)
        app.add_url_rule("/v1/raise", "v1", app.view_functions["view"])
        headers = app.test_client().get("/v1/raise").headers
        assert (headers.get("Retry-After"), headers["x-should-retry"]) == (under_v1, "false")
        assert app.test_client().get("/raise").headers["Retry-After"] == str(wait)


def test_an_unexpected_exception_reveals_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The log gets the traceback, the client a general sentence."""
    response = app_that_raises(KeyError("sk-planted")).test_client().get("/raise")
    assert b"planted" not in response.data
    assert "planted" not in caplog.text.partition("Traceback")[0]
    assert [record.levelno for record in caplog.records if record.name == "broker.web.error_handlers"] == [
        logging.ERROR
    ]


def test_werkzeugs_errors_have_the_contracts_format() -> None:
    """Its HTML is never sent."""
    assert app_that_raises(exceptions.Conflict()).test_client().get("/raise").is_json
