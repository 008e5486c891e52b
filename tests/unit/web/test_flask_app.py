"""The reduced Flask app."""

import pytest
from flask import Flask, session

from broker.web.flask_app import Response
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


def fields_of(response: Response) -> dict[str, str]:
    return dict(response.get_wsgi_headers({"REQUEST_METHOD": "GET"}))


def test_a_whole_answer_has_its_length_and_fields() -> None:
    """Both with and without the copy that Werkzeug makes."""
    response = Response("ab", headers={"X-A": "b"})
    assert fields_of(response)["Content-Length"] == "2"
    assert fields_of(response)["X-A"] == "b"
    assert fields_of(Response(["a", "bc"]))["Content-Length"] == "3"
    assert "Content-Length" not in fields_of(Response(iter(["a"])))


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_length(status: int) -> None:
    """RFC 9110, 8.6."""
    assert "Content-Length" not in fields_of(Response("ab", status=status))
