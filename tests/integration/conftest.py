"""Fixtures that start real programs: gunicorn with the project's configuration, redis-server and the stand-ins."""

import contextlib
import functools
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.authority import authority
from tests.integration.redis_process import RedisProcess
from tests.recorded import RECORDED

StartBroker = Callable[..., BrokerProcess]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests in this folder as integration tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@dataclass
class User:
    """A signed-in user of one broker."""

    id: str
    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every call."""
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **options: object) -> requests.Response:
        """Send a GET request, signed in."""
        return self.call("GET", path, **options)

    def post(self, path: str, body: object = None, **options: object) -> requests.Response:
        """Send a POST request with JSON, signed in."""
        return self.call("POST", path, json=body, **options)

    def call(self, method: str, path: str, **options: object) -> requests.Response:
        """Send any request, signed in."""
        headers = self.headers | dict(options.pop("headers", {}))  # type: ignore[call-overload]
        return requests.request(method, self.url + path, headers=headers, timeout=30, **options)  # type: ignore[arg-type]

    def stream(self, text: str = "hello", model: str = "gpt-4o") -> requests.Response:
        """Call `/stream` without reading the body."""
        return self.post("/stream", {"messages": text, "model": model}, stream=True)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """One Redis for all tests that do not disturb it."""
    assert shutil.which("redis-server"), "redis-server is missing: `make test` installs it"
    server = RedisProcess(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may stop or break."""
    server = RedisProcess(tmp_path)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def openai_for_all() -> Iterator[OpenAIStandIn]:
    """One stand-in for OpenAI. It speaks TLS, as OpenAI does."""
    stand_in = OpenAIStandIn(folders=(RECORDED,) if RECORDED.exists() else ())
    stand_in.tls = authority().server_context()
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def openai(openai_for_all: OpenAIStandIn) -> Iterator[OpenAIStandIn]:
    """The stand-in for OpenAI, reset after each test."""
    openai_for_all.reset()
    yield openai_for_all
    openai_for_all.reset()
    openai_for_all.first_token_delay = openai_for_all.token_delay = 0.0


@pytest.fixture
def plain_openai() -> Iterator[OpenAIStandIn]:
    """A stand-in for OpenAI without TLS."""
    stand_in = OpenAIStandIn()
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture(scope="session")
def supabase() -> Iterator[SupabaseStandIn]:
    """A project that signs with ES256."""
    stand_in = SupabaseStandIn(alg="ES256")
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


def settings_for(openai: OpenAIStandIn, supabase: SupabaseStandIn, redis_url: str) -> dict[str, str]:
    """The first six settings of the contract, OPENAI_BASE_URL, and the authority of the stand-in's certificate."""
    return {
        "OPENAI_API_KEY": openai.key,
        "OPENAI_BASE_URL": openai.url + "/v1",
        "SSL_CERT_FILE": authority().file,
        "SUPABASE_URL": supabase.url,
        "SUPABASE_SERVICE_KEY": supabase.service_key,
        "REDIS_URL": redis_url,
        "DAILY_LIMIT": "50",
        "ID_WHITE_LIST": "[]",
    }


@contextlib.contextmanager
def starting(settings: dict[str, str]) -> Iterator[StartBroker]:
    """Return a function that starts brokers with `settings` and per-broker changes, and stops them at the end."""
    started: list[BrokerProcess] = []

    def start(ready: str = "/health", **environ: str) -> BrokerProcess:
        broker = BrokerProcess(settings | environ)
        started.append(broker)
        broker.wait_until(ready)
        return broker

    try:
        yield start
    finally:
        for broker in started:
            broker.end()


@pytest.fixture
def start_broker(openai: OpenAIStandIn, supabase: SupabaseStandIn, redis_server: RedisProcess) -> Iterator[StartBroker]:
    """Starts brokers with a test's own settings."""
    with starting(settings_for(openai, supabase, redis_server.url)) as start:
        yield start


@pytest.fixture(scope="module")
def broker_with(
    openai_for_all: OpenAIStandIn, supabase: SupabaseStandIn, redis_server: RedisProcess
) -> Iterator[StartBroker]:
    """A broker with special settings, shared by the tests of a file that do not disturb it."""
    with starting(settings_for(openai_for_all, supabase, redis_server.url)) as start:
        yield functools.cache(start)


@pytest.fixture(scope="session")
def broker_for_all(
    openai_for_all: OpenAIStandIn, supabase: SupabaseStandIn, redis_server: RedisProcess
) -> Iterator[BrokerProcess]:
    """One broker with two workers for all tests that do not disturb it."""
    environ = settings_for(openai_for_all, supabase, redis_server.url) | {"WEB_CONCURRENCY": "2"}
    broker = BrokerProcess(environ)
    broker.wait_until("/ready")
    yield broker
    broker.end()


@pytest.fixture
def broker(broker_for_all: BrokerProcess, openai: OpenAIStandIn) -> BrokerProcess:
    """The shared broker; the stand-in for OpenAI answers well."""
    return broker_for_all


@pytest.fixture
def new_user(supabase: SupabaseStandIn) -> Callable[[BrokerProcess], User]:
    """A function that creates users without any calls."""

    def make(broker: BrokerProcess) -> User:
        user_id = str(uuid.uuid4())
        return User(user_id, broker.url, supabase.token_for(user_id))

    return make


@pytest.fixture
def ada(broker: BrokerProcess, new_user: Callable[[BrokerProcess], User]) -> User:
    """A user of the shared broker without any calls."""
    return new_user(broker)
