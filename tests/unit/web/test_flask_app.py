"""The reduced Flask app."""

import pytest
from flask import Flask, session

from tests.apps import make_app


@pytest.fixture
def app() -> Flask:
    """The broker's app."""
    return make_app()


@pytest.mark.parametrize("host", ["localhost", "gpt.example.com:8443", "[::1]"])
def test_no_route_depends_on_the_host(app: Flask, host: str) -> None:
    """The query does not matter either."""
    client = app.test_client()

    assert client.get("/health?/ready", headers={"Host": host}).data == b"OK"
    assert client.get("/health/", headers={"Host": host}).status_code == 404
    assert client.post("/health", headers={"Host": host}).status_code == 405


def test_there_are_no_sessions(app: Flask) -> None:
    """Writing to a session raises, and no response sets a cookie."""
    with app.test_request_context("/health"), pytest.raises(RuntimeError):
        session["user"] = "ada"

    assert "Set-Cookie" not in app.test_client().get("/health").headers
