"""Preflights as the browser sends them, and origins that the operator did not list."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.preflights import Preflights
from tests.browser.site import Site
from tests.integration.conftest import StartBroker, User

CALL = """async ({url, path, token, method, headers = {}}) => {
  try {
    const response = await fetch(url + path, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...headers },
      body: method === "POST" ? JSON.stringify({ messages: "hello", model: "gpt-4o" }) : undefined,
    });
    await response.text();
    return { status: response.status, headers: [...response.headers.keys()] };
  } catch (error) {
    return { failed: error.name };
  }
}"""


def call(app: Page, user: User, method: str, path: str, **headers: str) -> dict[str, Any]:
    given = {"url": user.url, "token": user.token, "method": method, "path": path, "headers": headers}
    result: dict[str, Any] = app.evaluate(CALL, given)
    return result


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/simple-gpt-4o-mini-complete?prompt=x"),
        ("POST", "/advanced-gpt-4o-mini-complete"),
        ("POST", "/v2/advanced-gpt-4o-mini-complete"),
        ("POST", "/gpt-4o"),
        ("POST", "/stream"),
    ],
)
def test_every_endpoint_can_be_called_from_another_origin(app: Page, ada: User, method: str, path: str) -> None:
    """The SDKs' headers are allowed; the rate limit and request id are readable."""
    sdk = {"apikey": "x", "x-client-info": "supabase-js-web/2", "x-stainless-lang": "js", "x-stainless-timeout": "60"}
    seen = call(app, ada, method, path, **{"Content-Type": "application/json"} | sdk)
    assert seen["status"] == 200
    assert {"ratelimit", "ratelimit-policy", "x-request-id"} <= set(seen["headers"])


def test_a_preflight_is_answered_and_remembered(app: Page, ada: User) -> None:
    """The browser caches it, so the second call needs none."""
    preflights = Preflights(app)
    for _ in range(3):
        assert call(app, ada, "POST", "/gpt-4o?new-to-the-browser", **{"x-client-info": "web"})["status"] == 200
    app.wait_for_timeout(100)
    ((asked, answer),) = preflights.seen
    assert asked["access-control-request-headers"] == "authorization,x-client-info"
    assert answer["status"] == "204"
    assert {"authorization", "x-client-info"} <= set(answer["access-control-allow-headers"].split(", "))


def test_a_page_may_read_why_it_is_refused(app: Page, ada: User) -> None:
    """Errors carry CORS headers; without them the browser hides the reason."""
    assert call(app, User("", ada.url, "no token"), "POST", "/gpt-4o")["status"] == 401
    assert call(app, ada, "POST", "/nowhere")["status"] == 404


def test_only_listed_origins_may_call(app: Page, site: Site, start_broker: StartBroker, ada: User) -> None:
    """With `CORS_ORIGINS` as a list, the browser hides answers from any other origin."""
    broker = start_broker(CORS_ORIGINS=f"https://app.example.com, {site.url}", WEB_CONCURRENCY="1")
    user = User(ada.id, broker.url, ada.token)
    assert call(app, user, "POST", "/gpt-4o")["status"] == 200
    app.goto(site.url.replace("127.0.0.1", "localhost"))
    assert call(app, user, "POST", "/gpt-4o") == {"failed": "TypeError"}
