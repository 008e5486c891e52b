"""CORS for pages on other origins."""

import pytest
from flask.testing import FlaskClient

from tests.apps import bearer, make_client

PAGE = "https://app.example.com"
LISTED = f"{PAGE}, https://admin.example.com/"


@pytest.fixture
def client() -> FlaskClient:
    return make_client(CORS_ORIGINS=LISTED)


def test_any_origin_is_the_default() -> None:
    """The field is `*` and needs no `Vary`, because tokens are in a header and not in cookies."""
    headers = make_client().get("/health", headers={"Origin": PAGE}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Origin" not in headers.get("Vary", "")
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", [PAGE, "https://admin.example.com"])
def test_a_listed_origin_is_named(client: FlaskClient, origin: str) -> None:
    """`Vary` names Origin for caches."""
    headers = client.get("/health", headers={"Origin": origin}).headers
    assert headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example.com", PAGE + ".evil.com", "null", None])
def test_any_other_is_not(client: FlaskClient, origin: str | None) -> None:
    """The browser then hides the response from the page."""
    headers = client.get("/health", headers={"Origin": origin} if origin else {}).headers
    assert "Access-Control-Allow-Origin" not in headers
    assert "Origin" in headers["Vary"]


def test_a_preflight_allows_what_the_sdks_send(client: FlaskClient) -> None:
    """Fields are listed by name, because `*` does not cover `Authorization`. Only valid names are repeated."""
    asked = "authorization,x-stainless-runtime-version, OpenAI-Beta,evil\tname,apikey"
    response = client.options("/stream", headers={"Origin": PAGE, "Access-Control-Request-Headers": asked})
    assert response.status_code == 204
    allowed = response.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "apikey", "x-client-info", "x-stainless-runtime-version"} <= set(allowed)
    assert "openai-beta" in allowed
    assert not [name for name in allowed if "evil" in name]
    assert len(allowed) == len(set(allowed))
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE, OPTIONS"
    assert int(response.headers["Access-Control-Max-Age"]) > 0


# recorded requests
OPENAI_SDK = (
    "authorization,content-type,x-stainless-arch,x-stainless-helper-method,x-stainless-lang,x-stainless-os,"
    "x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,"
    "x-stainless-timeout,openai-organization,openai-project"
)
SUPABASE_SDK = (
    "apikey,authorization,content-type,x-client-info,x-retry-count,x-supabase-api-version,traceparent,baggage"
)


@pytest.mark.parametrize("asked", [OPENAI_SDK, SUPABASE_SDK])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/usage", "/openapi.json", "/stream"])
def test_all_header_fields_of_the_sdks_are_allowed(client: FlaskClient, path: str, asked: str) -> None:
    """Preflights need no token. Every endpoint answers them to a listed origin."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    response = client.options(path, headers=headers)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert set(asked.split(",")) <= set(response.headers["Access-Control-Allow-Headers"].split(", "))
    assert "Origin" in response.headers["Vary"]


def test_options_names_the_endpoints_own_methods(client: FlaskClient) -> None:
    """RFC 9110, 9.3.7, defines it. A path without an endpoint gets all methods."""
    allowed = {path: client.options(path).headers["Allow"] for path in ("/stream", "/v1/models", "/nothing")}
    every = "GET, POST, DELETE, OPTIONS"
    assert allowed == {"/stream": "POST, OPTIONS", "/v1/models": "GET, OPTIONS", "/nothing": every}


@pytest.mark.parametrize("status", [401, 404, 405, 415])
def test_errors_under_v1_can_be_read_too(client: FlaskClient, status: int) -> None:
    """Otherwise a page sees only a network error."""
    path = "/v1/nothing" if status == 404 else "/v1/chat/completions"
    method = "GET" if status == 405 else "POST"
    response = client.open(path, method=method, headers={"Origin": PAGE} | (bearer() if status == 415 else {}))
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Should-Retry" in response.headers["Access-Control-Expose-Headers"]


def test_the_fields_that_a_page_reads_are_exposed(client: FlaskClient) -> None:
    """Errors expose them as well."""
    response = client.post("/gpt-4o", data="{}", headers={"Origin": PAGE} | bearer())
    assert response.status_code == 400
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id", "X-Should-Retry"} <= exposed
