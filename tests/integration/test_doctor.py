"""`doctor`: a line for each part, fine or what to do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from deploy.local.broker_process import BrokerProcess, free_port
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.integration.conftest import StartBroker, settings_for
from tests.integration.live_targets import resolve_here
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.redis_process import RedisProcess

SUCCESSOR = '{"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-6-luna"}'
Examine = Callable[..., dict[str, str]]


@pytest.fixture
def examine(openai: OpenAIStandIn, supabase: SupabaseStandIn, own_redis: RedisProcess) -> Examine:
    """What the doctor finds with these settings changed: what was looked at, and the word and advice on it."""
    own_redis.client.config_set("maxmemory-policy", "noeviction")

    def run(**environ: str) -> dict[str, str]:
        given = settings_for(openai, supabase, own_redis.url) | {"ENV_FILE": os.devnull, "MODELS": SUCCESSOR} | environ
        result = CliRunner().invoke(cli, ["doctor"], env=given)
        lines = [(line[13:], line[:13].strip()) for line in result.output.splitlines()]
        assert result.exit_code == int(any(word == "WRONG" for _, word in lines)), result.output
        return {text.partition(": ")[0]: f"{word} {text.partition(': ')[2]}".strip() for text, word in lines}

    return run


@pytest.fixture
def account(supabase: SupabaseStandIn) -> dict[str, str]:
    """A user's sign-in."""
    return {
        "SUPABASE_ANON_KEY": supabase.anon_key,
        "SUPABASE_EMAIL": "linus@example.com",
        "SUPABASE_PASSWORD": PASSWORD,
    }


def test_all_is_fine_where_all_is_well(
    examine: Examine, account: dict[str, str], start_broker: StartBroker, openai: OpenAIStandIn,
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Inside and, through nginx and TLS, outside. And it sees a proxy that holds streams back, and an open /metrics."""
    openai.token_delay = 0.02
    broker = start_broker(METRICS_ALLOW="127.0.0.1")
    resolve_here(monkeypatch)
    held_back = ("proxy_buffering off", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering")
    opened = ("    deny all;", "    allow all;")
    for changes, wrong in (((), set()), ((held_back, opened), {"streaming is not held back", "/ready is closed"})):
        at = f"127.0.0.1:{broker.port}"
        folder = tmp_path_factory.mktemp("nginx")
        nginx = NginxProcess(folder, {"sksndev": at, "techsksn": at}, *changes, METRICS_ALLOW="10.0.0.1")
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(nginx.certificate))
        found = examine(BASE_URL=f"https://{HOSTS['sksndev']}:{nginx.port}", **account)
        nginx.stop()
        assert len(found) == 15
        # /metrics stays closed by the broker's own check for a stranger; here the stranger has a listed address
        assert {what for what, word in found.items() if not word.startswith("fine")} - {
            "/metrics is closed"
        } == wrong, found


@pytest.mark.parametrize(
    ("environ", "what", "advice"),
    [
        ({"OPENAI_API_KEY": "sk-another-key-0123456789"}, "OpenAI's key", "make a new one"),
        ({"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}, "OpenAI's key", "allowed out"),
        ({"MODELS": '{"gpt-4o": "gpt-9", "gpt-4o-mini": "gpt-4o-mini"}'}, "model gpt-9", "change MODELS"),
        ({"MODELS": ""}, "model gpt-4o", "shuts it down on 2027-01-14"),
        ({"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}, "Redis", "does it run"),
        ({"REDIS_URL": ""}, "Redis", "set REDIS_URL"),
        ({"SUPABASE_URL": f"http://127.0.0.1:{free_port()}"}, "signing keys", "gives no key set"),
        ({"SUPABASE_URL": f"http://127.0.0.1:{free_port()}"}, "Supabase Auth", "is SUPABASE_URL right"),
        ({"BASE_URL": f"http://127.0.0.1:{free_port()}"}, "a page's preflight", "no answer"),
    ],
)
def test_what_is_wrong_is_found(examine: Examine, environ: dict[str, str], what: str, advice: str) -> None:
    """With what to do."""
    found = examine(**environ)
    assert found[what].startswith("WRONG")
    assert advice in found[what]
    assert "sk-another-key" not in str(found)


def test_a_redis_that_forgets_or_evicts_is_found(examine: Examine, own_redis: RedisProcess) -> None:
    """Both would give calls away."""
    own_redis.client.config_set("appendonly", "no")
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    found = examine()
    assert found["Redis keeps the counts"].startswith("WRONG appendonly is off")
    assert found["Redis evicts nothing"].startswith("WRONG maxmemory-policy is allkeys-lru")


def test_a_supabase_that_fails_is_found(examine: Examine, supabase: SupabaseStandIn) -> None:
    """A project that is paused answers so."""
    supabase.behaviour = "failing"
    try:
        found = examine()
    finally:
        supabase.behaviour = "well"
    assert found["signing keys"].startswith("WRONG")
    assert found["Supabase Auth"].startswith("WRONG")


def test_a_broker_that_stands_open_is_found(examine: Examine, broker: BrokerProcess) -> None:
    """No TLS, and /metrics for everyone."""
    found = examine(BASE_URL=broker.url)
    assert any(what.startswith("TLS of") and "in the clear" in word for what, word in found.items())
    assert found["/metrics is closed"].startswith("WRONG anyone gets a 200")
    assert found["streaming is not held back"].startswith("not checked")


def test_wrong_settings_end_the_examination(tmp_path: Path) -> None:
    """All in one message, named."""
    result = CliRunner().invoke(cli, ["doctor"], env={"ENV_FILE": str(tmp_path / "none"), "OPENAI_API_KEY": ""})
    assert result.exit_code == 1
    assert "OPENAI_API_KEY is required" in result.output
