"""Headless Chromium, with a web app on an origin of its own, and the real broker on another."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.site import Site
from tests.integration.conftest import (  # noqa: F401 - fixtures
    ada,
    broker,
    broker_for_all,
    new_user,
    openai,
    openai_for_all,
    own_redis,
    redis_server,
    start_broker,
    supabase,
)

QUIET = [  # Chromium otherwise asks its makers for this and that
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder start real programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; gone before other tests, because Playwright holds the thread's event loop."""
    program = shutil.which("chromium")
    assert program, "chromium is missing: `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The web app's origin."""
    server = Site()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile that keeps the packages' files in its cache."""
    with chromium.new_context() as context:
        yield context


@pytest.fixture
def app(profile: BrowserContext, site: Site) -> Iterator[Page]:
    """The web app's page, with the packages ready to be imported, and nobody signed in."""
    page = profile.new_page()
    page.goto(site.url)
    page.evaluate("localStorage.clear()")
    yield page
    page.close()
