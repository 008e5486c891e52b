"""The `doctor` command: one line per check, with the verdict or advice."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from deploy.local.authority import Authority
from deploy.local.broker_process import BrokerProcess, free_port
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.integration.conftest import StartBroker, settings_for
from tests.integration.live_targets import resolve_here
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.redis_process import RedisCluster, RedisProcess

SUCCESSOR = '{"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-6-luna"}'
Examine = Callable[..., dict[str, str]]


@pytest.fixture
def examine(openai: OpenAIStandIn, supabase: SupabaseStandIn, own_redis: RedisProcess) -> Examine:
    """Run the doctor with changed settings; returns verdict and advice by subject."""
    own_redis.client.config_set("maxmemory-policy", "noeviction")

    def run(**environ: str) -> dict[str, str]:
        given = settings_for(openai, supabase, own_redis.url) | {"ENV_FILE": os.devnull, "MODELS": SUCCESSOR}
        given = given | {"REQUESTS_CA_BUNDLE": given["SSL_CERT_FILE"]} | environ
        result = CliRunner().invoke(cli, ["doctor"], env=given)
        lines = [(line[13:], line[:13].strip()) for line in result.output.splitlines()]
        verdicts = {word for _, word in lines}
        assert result.exit_code == (1 if "WRONG" in verdicts else 3 if "remark" in verdicts else 0), result.output
        return {text.partition(": ")[0]: f"{word} {text.partition(': ')[2]}".strip() for text, word in lines}

    return run


@pytest.fixture
def account(supabase: SupabaseStandIn) -> dict[str, str]:
    """The sign-in of a user."""
    return {
        "SUPABASE_ANON_KEY": supabase.anon_key,
        "SUPABASE_EMAIL": "linus@example.com",
        "SUPABASE_PASSWORD": PASSWORD,
    }


def test_a_sound_installation_is_fine(
    examine: Examine, account: dict[str, str], start_broker: StartBroker, openai: OpenAIStandIn,
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, authority: Authority,
) -> None:  # fmt: skip
    """Checks inside and, through nginx and TLS, outside pass. A buffering proxy and an open /metrics are reported."""
    openai.token_delay = 0.02
    broker = start_broker(METRICS_ALLOW="127.0.0.1")
    resolve_here(monkeypatch)
    buffering = ("proxy_buffering off", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering")
    opened = ("    deny all;", "    allow all;")
    for changes, wrong in (((), set()), ((buffering, opened), {"streaming is not buffered", "/ready is closed"})):
        at = f"127.0.0.1:{broker.port}"
        folder = tmp_path_factory.mktemp("nginx")
        nginx = NginxProcess(folder, {"sksndev": at, "techsksn": at}, *changes, METRICS_ALLOW="10.0.0.1")
        trusted = folder / "trusted.pem"
        trusted.write_text(Path(nginx.certificate).read_text() + Path(authority.file).read_text())
        account |= {"REQUESTS_CA_BUNDLE": str(trusted), "SSL_CERT_FILE": str(trusted)}
        found = examine(BASE_URL=f"https://{HOSTS['sksndev']}:{nginx.port}", **account)
        nginx.stop()
        assert len(found) == 18
        # the broker's own check keeps /metrics closed to strangers; here the client has an allowed address
        ignored = {"/metrics is closed", "clock, compared with 127.0.0.1"}  # the stand-ins send no Date
        assert {subject for subject, word in found.items() if not word.startswith("fine")} - ignored == wrong, found


@pytest.mark.parametrize(
    ("environ", "subject", "advice"),
    [
        ({"OPENAI_API_KEY": "sk-another-key-0123456789"}, "OpenAI's key", "create a new key"),
        ({"OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}, "OpenAI's key", "check outgoing connections"),
        ({"MODELS": '{"gpt-4o": "gpt-9", "gpt-4o-mini": "gpt-4o-mini"}'}, "model gpt-9", "change MODELS"),
        ({"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}, "Redis", "check that it runs"),
        ({"REDIS_URL": ""}, "Redis", "set REDIS_URL"),
        ({"SUPABASE_URL": f"http://127.0.0.1:{free_port()}"}, "signing keys", "returns no key set"),
        (
            {"SUPABASE_URL": f"http://127.0.0.1:{free_port()}"},
            "Supabase Auth",
            "(refused: Connection refused): check out",
        ),
        (
            {"SUPABASE_URL": "https://supabase.invalid"},
            "Supabase Auth",
            "check the host's name servers and SUPABASE_URL",
        ),
        (
            {"SUPABASE_URL": "https://supabase.invalid"},
            "signing keys",
            "check the host's name servers and SUPABASE_URL",
        ),
        (
            {"OPENAI_BASE_URL": "https://openai.invalid/v1"},
            "OpenAI's key",
            "check the host's name servers and OPENAI_BASE",
        ),
        ({"BASE_URL": f"http://127.0.0.1:{free_port()}"}, "a page's preflight", "no response"),
    ],
)
def test_each_problem_is_reported_with_advice(
    examine: Examine, environ: dict[str, str], subject: str, advice: str
) -> None:
    """The verdict is WRONG; the key is not printed."""
    found = examine(**environ)
    assert found[subject].startswith("WRONG")
    assert advice in found[subject]
    assert "sk-another-key" not in str(found)


def test_an_issuer_that_no_token_has_is_reported(examine: Examine, account: dict[str, str]) -> None:
    """Every call would get 401. A sign-in that fails is an error as well, without its password."""
    found = examine(SUPABASE_JWT_ISSUER="https://another.example/auth/v1", **account)
    assert found["a user's token has the expected issuer"].startswith("WRONG Supabase writes the issuer 'http")
    assert found["clock, compared with a user's token"] == "fine"
    account["SUPABASE_PASSWORD"] = "planted"
    found = examine(**account)
    assert found["a user's token"].startswith("WRONG signing in to Supabase failed")
    assert "planted" not in str(found)


def test_a_shutdown_date_in_the_future_is_a_remark(examine: Examine) -> None:
    """It is no error yet: the exit status is 3 (`examine` compares it with the verdicts)."""
    found = examine(MODELS="")
    assert found["model gpt-4o"].startswith("remark OpenAI shuts it down on 2027-01-14")
    assert not any(word.startswith("WRONG") for word in found.values())


def test_a_redis_without_persistence_or_with_eviction_is_reported(examine: Examine, own_redis: RedisProcess) -> None:
    """Both would lose counts."""
    own_redis.client.config_set("appendonly", "no")
    own_redis.client.config_set("maxmemory-policy", "allkeys-lru")
    found = examine()
    assert found["Redis keeps the counts"].startswith("WRONG appendonly is off")
    assert found["Redis evicts nothing"].startswith("WRONG maxmemory-policy is allkeys-lru")


def test_a_redis_that_answers_and_refuses_to_count_is_reported(examine: Examine, own_redis: RedisProcess) -> None:
    """An account without scripts, and a primary without the replicas that it demands."""
    own_redis.client.acl_setuser("lame", enabled=True, passwords=["+pw"], keys=["*"], commands=["+info", "+get"])
    found = examine(REDIS_URL=own_redis.url.replace("//:@", "//lame:pw@"))
    assert found["Redis answers"] == "fine"
    assert found["Redis counts"].startswith("WRONG it refuses writes (account")
    own_redis.client.config_set("min-replicas-to-write", 1)
    found = examine()
    own_redis.client.config_set("min-replicas-to-write", 0)
    assert found["Redis counts"].startswith("WRONG it refuses writes (other")


def test_a_node_of_a_cluster_that_redis_url_takes_for_a_single_redis_is_reported(
    examine: Examine, tmp_path: Path
) -> None:
    """It answers, and redirects the calls of most users."""
    node = RedisCluster(tmp_path)
    try:
        node.client.execute_command("CLUSTER", "DELSLOTSRANGE", 0, 8191)
        node.client.config_set("cluster-require-full-coverage", "no")
        found = examine(REDIS_URL=node.url)
        assert "must start with redis+cluster://" in found["Redis counts"]
    finally:
        node.stop()


def test_a_failing_supabase_is_reported(examine: Examine, supabase: SupabaseStandIn) -> None:
    """A paused project gives this answer."""
    supabase.behaviour = "failing"
    try:
        found = examine()
    finally:
        supabase.behaviour = "well"
    assert found["signing keys"].startswith("WRONG")
    assert found["Supabase Auth"].startswith("WRONG")


@pytest.mark.parametrize(
    ("behaviour", "advice"),
    [
        ("key disabled", "renew the key"),
        ("key unknown", "renew the key"),
        ("page", "firewalls"),
        ("firewall", "firewalls"),
    ],
)
def test_a_refusal_of_supabases_gateway_has_advice(
    examine: Examine, supabase: SupabaseStandIn, behaviour: str, advice: str
) -> None:
    """The same as in `/ready`: the key, or what stands between."""
    supabase.behaviour = behaviour
    try:
        found = examine()
    finally:
        supabase.behaviour = "well"
    assert found["Supabase Auth"].startswith("WRONG status 40")
    assert advice in found["Supabase Auth"]
    assert found["signing keys"] == "fine 1 published"


def test_missing_tls_and_open_metrics_are_reported(examine: Examine, broker: BrokerProcess) -> None:
    """The broker is reached directly, without nginx."""
    found = examine(BASE_URL=broker.url)
    assert any(subject.startswith("TLS of") and "unencrypted" in word for subject, word in found.items())
    assert found["/metrics is closed"].startswith("WRONG anyone gets a 200")
    assert found["streaming is not buffered"].startswith("not checked")


def test_invalid_settings_are_reported_first(tmp_path: Path) -> None:
    """One message names every invalid setting."""
    result = CliRunner().invoke(cli, ["doctor"], env={"ENV_FILE": str(tmp_path / "none"), "OPENAI_API_KEY": ""})
    assert result.exit_code == 1
    assert "OPENAI_API_KEY is required" in result.output
