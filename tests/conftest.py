"""Fixtures that all tests share, and the rule that nothing is skipped unnoticed."""

import os
from collections.abc import Iterator

import fakeredis
import hypothesis
import pytest

from broker.settings.settings import Settings
from tests.apps import REQUIRED
from tests.secrecy import Secrecy, overhear

# what a property says holds on a busy machine too: none of them is about time
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that need no other program come first: they take a minute, and most mistakes show there."""
    items.sort(key=lambda item: item.get_closest_marker("integration") is not None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI a skipped test is a failed run: a part is missing that the run should have installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped and session.exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_said() -> Iterator[Secrecy]:
    """At the end of the whole run: no broker of it has said a key, a token, a prompt or an answer anywhere."""
    secrecy, patch = Secrecy(), pytest.MonkeyPatch()
    overhear(secrecy, patch)
    yield secrecy
    patch.undo()
    assert secrecy.leaks() == []


@pytest.fixture
def settings() -> Settings:
    """The least settings that work; nothing listens at the addresses in them."""
    return Settings.from_environ(REQUIRED)


@pytest.fixture
def redis() -> Iterator[fakeredis.FakeRedis]:
    """An embedded store of its own."""
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield client
