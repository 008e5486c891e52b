"""The security header fields."""

import pytest
from flask import Response

from broker.web.headers import security_headers
from broker.web.headers.security_headers import HEADERS
from tests.apps import bearer, make_client

PAGE = {"Origin": "https://app.example.com"}


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/health", 200), ("GET", "/ready", 200), ("GET", "/metrics", 200), ("GET", "/nope", 404),
    ("GET", "/stream", 405), ("POST", "/gpt-4o", 400), ("OPTIONS", "/stream", 204),
    ("POST", "/v1/chat/completions", 415),
])  # fmt: skip
def test_every_answer_carries_them(method: str, path: str, status: int) -> None:
    """Every kind of response carries the fields; pages on other origins may still read it."""
    response = make_client().open(path, method=method, headers=PAGE | bearer())
    assert response.status_code == status
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert not {"Server", "X-Powered-By"} & set(response.headers.keys())


def test_fields_of_an_endpoint_are_kept() -> None:
    """Names are compared without case. A page has its own policy."""
    given = Response(headers={"content-security-policy": "default-src 'self'", "Cache-Control": "max-age=60"})
    headers = security_headers.add(given).headers
    assert headers.getlist("Content-Security-Policy") == ["default-src 'self'"]
    assert headers.getlist("Cache-Control") == ["max-age=60"]
    assert headers["X-Content-Type-Options"] == "nosniff"
