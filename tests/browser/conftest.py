"""Headless Chromium with a web app on one origin and the real broker on another."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.browser.actions import OpenPage
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
    settings_for,
    start_broker,
    supabase,
)
from tests.integration.redis_process import RedisProcess

QUIET = [  # no requests to Google's services
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SMALL = {"WEB_CONCURRENCY": "1", "OPENAI_MAX_RETRIES": "0"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder start real programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. It closes before other tests because Playwright holds the thread's event loop."""
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
    """A browser profile that caches the packages' files."""
    with chromium.new_context() as context:
        # shows whether a network change made Chromium abort its requests
        context.on("requestfailed", lambda request: print(request.url, request.failure))
        yield context


@pytest.fixture(scope="package")
def app_for_all(profile: BrowserContext) -> Iterator[Page]:
    """One page for all tests that leave it unchanged: importing a package takes a second."""
    page = profile.new_page()
    yield page
    page.close()


@pytest.fixture
def app(app_for_all: Page, site: Site) -> Page:
    """The web app's page with the packages loaded."""
    if app_for_all.url != f"{site.url}/":
        load_packages(app_for_all, site, "openai", "axios")
    return app_for_all


@pytest.fixture
def new_app(profile: BrowserContext, site: Site) -> Iterator[Page]:
    """A new page of the web app, not signed in to Supabase."""
    page = profile.new_page()
    load_packages(page, site, "@supabase/supabase-js")
    page.evaluate("localStorage.clear()")
    yield page
    page.close()


def load_packages(page: Page, site: Site, *packages: str) -> None:
    """Open the app and load these packages. They are hundreds of files, so a failed load is tried again."""
    for tries_left in (2, 1, 0):
        try:
            page.goto(site.url)
            page.evaluate("(names) => Promise.all(names.map((name) => import(name))).then(() => {})", packages)
            return
        except Error:
            if not tries_left:
                raise


@pytest.fixture(scope="package")
def page_broker(
    openai_for_all: OpenAIStandIn,  # noqa: F811 - a fixture
    supabase: SupabaseStandIn,  # noqa: F811
    redis_server: RedisProcess,  # noqa: F811
) -> Iterator[BrokerProcess]:
    """A broker that serves the playground."""
    page = {"PLAYGROUND": "on", "SUPABASE_ANON_KEY": supabase.anon_key, "DAILY_LIMIT": "1000", **SMALL}
    yield from _running(settings_for(openai_for_all, supabase, redis_server.url) | page)


@pytest.fixture(scope="package")
def tight_broker(
    openai_for_all: OpenAIStandIn,  # noqa: F811 - a fixture
    supabase: SupabaseStandIn,  # noqa: F811
    redis_server: RedisProcess,  # noqa: F811
) -> Iterator[BrokerProcess]:
    """A broker with a daily limit of 1 whose playground has no public key."""
    page = {"PLAYGROUND": "on", "DAILY_LIMIT": "1", **SMALL}
    yield from _running(settings_for(openai_for_all, supabase, redis_server.url) | page)


@pytest.fixture(scope="package")
def frugal_broker(
    openai_for_all: OpenAIStandIn,  # noqa: F811 - a fixture
    supabase: SupabaseStandIn,  # noqa: F811
) -> Iterator[BrokerProcess]:
    """A broker that allows each user 60 tokens a day: one answer of the stand-in. It counts in its own memory."""
    limits = {"DAILY_LIMIT": "10", "DAILY_TOKENS": "60", "MIN_OUTPUT_TOKENS": "20"}
    yield from _running(settings_for(openai_for_all, supabase, "") | {"PLAYGROUND": "on"} | limits | SMALL)


def _running(environ: dict[str, str]) -> Iterator[BrokerProcess]:
    process = BrokerProcess(environ)
    process.wait_until("/ready")
    yield process
    process.end()


@pytest.fixture
def open_page(
    chromium: Browser,
    page_broker: BrokerProcess,
    openai: OpenAIStandIn,  # noqa: F811
) -> Iterator[OpenPage]:
    """Open the playground in a new profile. A violation of its policy, or a script error, fails the test."""
    violations: list[str] = []
    contexts = []

    def open_url(url: str = page_broker.url, **options: object) -> Page:
        context = chromium.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: violations.append(str(error)))
        page.on("console", lambda line: violations.append(line.text) if "Content Security" in line.text else None)
        page.on("request", lambda request: violations.append(request.url) if _is_foreign(request.url, url) else None)
        page.goto(url)
        return page

    yield open_url
    for context in contexts:
        context.close()
    assert violations == []


def _is_foreign(url: str, own: str) -> bool:
    """Whether a request goes to anything but the broker and Supabase Auth."""
    return not url.startswith(own) and "/auth/v1/token?" not in url
