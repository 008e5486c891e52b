"""What a browser on another origin needs to call, and to read what it gets."""

import pytest
from flask.testing import FlaskClient

from tests.apps import bearer, make_client

PAGE = "https://app.example.com"
LISTED = f"{PAGE}, https://admin.example.com/"


@pytest.fixture
def client() -> FlaskClient:
    return make_client(CORS_ORIGINS=LISTED)


def test_any_origin_is_the_default() -> None:
    """With `*`, which needs no `Vary`; tokens travel in a header, not in cookies."""
    headers = make_client().get("/health", headers={"Origin": PAGE}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Origin" not in headers.get("Vary", "")
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", [PAGE, "https://admin.example.com"])
def test_a_listed_origin_is_named(client: FlaskClient, origin: str) -> None:
    """And caches are told that the answer depends on it."""
    headers = client.get("/health", headers={"Origin": origin}).headers
    assert headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", PAGE + ".evil.com", "null", None])
def test_any_other_is_not(client: FlaskClient, origin: str | None) -> None:
    """The browser then keeps the answer from the page."""
    headers = client.get("/health", headers={"Origin": origin} if origin else {}).headers
    assert "Access-Control-Allow-Origin" not in headers
    assert "Origin" in headers["Vary"]


def test_a_preflight_allows_what_the_sdks_send(client: FlaskClient) -> None:
    """By name, because a `*` does not cover `Authorization`; names only, whatever is asked."""
    asked = "authorization,x-stainless-runtime-version, OpenAI-Beta,evil\tname,apikey"
    response = client.options("/stream", headers={"Origin": PAGE, "Access-Control-Request-Headers": asked})
    assert response.status_code == 204
    allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "apikey", "x-client-info", "x-stainless-runtime-version"} <= set(allowed)
    assert "openai-beta" in allowed
    assert not [name for name in allowed if "evil" in name]
    assert len(allowed) == len(set(allowed))
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert int(response.headers["Access-Control-Max-Age"]) > 0


def test_what_a_page_has_to_read_is_exposed(client: FlaskClient) -> None:
    """On a refusal as on an answer."""
    response = client.post("/gpt-4o", data="{}", headers={"Origin": PAGE} | bearer())
    assert response.status_code == 400
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"} <= exposed
