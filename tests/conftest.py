"""Fixtures for all tests. In CI a skipped test fails the run."""

import os
from collections.abc import Iterator

import fakeredis
import hypothesis
import pytest

from broker.settings.settings import Settings
from deploy.local.authority import Authority
from tests.apps import REQUIRED
from tests.authority import authority
from tests.secrecy import Secrecy, watch

# no property is about time, so a busy machine must not fail one
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run unit tests first: they take a minute and catch most mistakes."""
    items.sort(key=lambda item: item.get_closest_marker("integration") is not None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run that skipped a test: CI must install everything the tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session", autouse=True)
def exposed_secrets() -> Iterator[Secrecy]:
    """Check at the end of the run that no broker exposed a key, token, prompt or answer anywhere."""
    secrecy, patch = Secrecy(), pytest.MonkeyPatch()
    watch(secrecy, patch)
    yield secrecy
    patch.undo()
    assert secrecy.leaks() == []


@pytest.fixture
def settings() -> Settings:
    """The minimal valid settings; nothing listens at their addresses."""
    return Settings.from_environ(REQUIRED)


@pytest.fixture
def redis() -> Iterator[fakeredis.FakeRedis]:
    """A new embedded store."""
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield client


@pytest.fixture(name="authority", scope="session")
def authority_of_the_run() -> Authority:
    """The authority that signs the certificates of the tests' servers."""
    return authority()
