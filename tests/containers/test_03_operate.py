"""Operating the tenants: deploy/README.md, sections 7 and 8. The tests build on each other."""

import signal
import threading
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import free_port
from deploy.local.supabase_auth import SupabaseStandIn
from tests.containers.calls import call, containers, is_ready, left_now, send_signal
from tests.containers.conftest import TENANTS, Stack, current, inspect, remove_everything, run
from tests.containers.external_redis import PASSWORD, ExternalRedis
from tests.integration.waiting import within

pytestmark = pytest.mark.usefixtures("started")


def test_a_killed_broker_restarts_and_keeps_its_counts(stack: Stack) -> None:
    """SIGKILL to its first process: the engine restarts it, and the proxy finds it again."""
    before, name = left_now(stack, "sksndev"), current("sksndev")
    pid = inspect(name, "{{.State.Pid}}")
    send_signal(name, signal.SIGKILL)
    within(60, lambda: inspect(name, "{{.State.Pid}} {{.State.Running}}") not in (f"{pid} true", "0 false"))
    within(60, lambda: is_ready(stack, "sksndev"))
    assert left_now(stack, "sksndev") == before - 1
    assert inspect(name, "{{.RestartCount}}") == "1"
    output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    assert f"remark       container {name}: the engine restarted it 1 times" in output
    assert "Error 3" in output


def test_a_restarted_redis_keeps_its_counts(stack: Stack) -> None:
    """The other tenant is not affected."""
    before = left_now(stack, "sksndev")
    run("docker", "restart", "--time", "10", "sksndev-redis-stack")
    within(60, lambda: is_ready(stack, "sksndev"))
    assert left_now(stack, "sksndev") == before - 1
    assert inspect(current("techsksn"), "{{.RestartCount}}") == "0"


def test_settings_and_secrets_change_without_a_new_container(stack: Stack) -> None:
    """Open answers go on. A mistake is named and the old settings stay.

    A new OpenAI key beside the old one is used as soon as OpenAI refuses the old one: no call fails.
    """
    before, old, new = current("sksndev"), stack.openai.key, "sk-stand-in-rotated"
    with stack.slow_streams(0.2):
        response = call(stack, "sksndev", path="/stream", stream=True)
        first = response.raw.read1(1000)
    with stack.changed_settings("sksndev", DAILY_LIMIT="none"):
        assert "DAILY_LIMIT must be" in stack.run("make", "reload", "TENANT=sksndev", check=False)
    assert "q=100000;" in call(stack, "sksndev").headers["RateLimit-Policy"]
    changes = {"DAILY_LIMIT": "90000", "OPENAI_API_KEY": f"{old},{new}", "SUPABASE_SERVICE_KEY": "sb_secret_rotated"}
    with stack.reloaded_settings("sksndev", **changes):
        within(20, lambda: "q=90000;" in call(stack, "sksndev").headers["RateLimit-Policy"])
        stack.openai.key = new
        assert {call(stack, "sksndev").status_code for _ in range(10)} == {200}
        stack.openai.key = old
    assert (first + response.raw.read()).count(b'{"data"') > 10
    assert current("sksndev") == before


def test_a_third_tenant_is_a_line_and_an_env_file(stack: Stack) -> None:
    """Make's targets, containers, nginx and live targets follow. It runs beside the others."""
    stack.supabase["third"] = supabase = SupabaseStandIn(alg="ES256")
    supabase.host = stack.openai.host
    supabase.start_in_thread()
    stack.ports["third"], stack.redis_ports["third"] = free_port(), free_port()
    stack.write_tenants()
    stack.write_env("third")
    assert "third" in stack.run("make", "help")
    stack.run("make", "deploy-third")
    assert call(stack, "third").status_code == 200
    variables = stack.folder / ".env.nginx"
    variables.write_text("".join(f"{name.upper()}_HOST=gpt.{name}.test\n" for name in (*TENANTS, "third")))
    rendered = stack.run("deploy/nginx/render", ".env.nginx")
    assert "server_name gpt.third.test;" in rendered
    assert f"server 127.0.0.1:{stack.ports['third']} " in rendered
    variables.unlink()
    program = f"import sys; sys.path.append({str(Path(requests.__file__).parents[1])!r}); " + TARGETS
    targets = stack.run("python3", "-c", program)
    assert "'third', 'third_prod'" in targets


TARGETS = "from tests.live.target import TARGETS; print(TARGETS)"


def test_stopping_a_tenant_waits_for_its_streams(stack: Stack) -> None:
    """The other tenants go on. Nothing of the stopped one runs, and the log stays."""
    name, started = current("third"), inspect(current("sksndev"), "{{.State.StartedAt}}")
    with stack.slow_streams(0.1):
        response = call(stack, "third", path="/stream", stream=True)
        stopping = threading.Thread(target=stack.run, args=("make", "down-third"))
        stopping.start()
        assert response.raw.read().count(b'{"data"') > 10
    stopping.join()
    assert inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    assert not {"third-proxy", "third-redis-stack"} & containers("--filter", "status=running")
    assert inspect(current("sksndev"), "{{.State.StartedAt}}") == started


def test_a_tenant_may_use_an_external_redis_and_secrets_in_files(stack: Stack, tmp_path: Path) -> None:
    """A private authority's certificate and the key are in deploy/secrets; no Redis is started for the tenant.

    Its port is another one now, so the proxy is replaced. The log of the old proxy stays.
    """
    external, secrets = ExternalRedis(tmp_path, stack.openai.host), stack.folder / "deploy" / "secrets" / "third"
    secrets.mkdir(parents=True)
    (secrets / "redis-ca.pem").write_text(external.authority)
    (secrets / "openai_key").write_text(stack.openai.key + "\n")
    url = f"rediss://:{PASSWORD}@{stack.openai.host}:{external.port}?ssl_ca_certs=/settings/redis-ca.pem"
    stack.write_env("third", REDIS_URL=url, OPENAI_API_KEY="", OPENAI_API_KEY_FILE="/settings/openai_key")
    stack.ports["third"] = free_port()
    stack.write_tenants()
    stack.run("make", "deploy-third")
    assert [log.rpartition("-proxy-")[0] for log in stack.kept_logs("third")] == ["third"]
    assert call(stack, "third").status_code == 200
    assert external.client.dbsize() > 0
    assert "third-redis-stack" not in containers("--filter", "status=running")
    assert "no Redis of deploy/stack runs" in stack.run("make", "backup-third", check=False)
    assert "deploy/secrets" not in stack.run("git", "status", "--short", "--untracked-files=all")
    stack.run("make", "down-third")
    external.stop()
    stack.ports.pop("third")
    stack.supabase.pop("third").stop()
    stack.write_tenants()


def test_a_backup_restores_the_counts(stack: Stack, tmp_path: Path) -> None:
    """The append-only file, which Redis prefers to a snapshot, is replaced. An invalid file changes nothing."""
    before, file = left_now(stack, "techsksn"), str(tmp_path / "counts.rdb")
    assert "keys are in" in stack.run("make", "backup-techsksn", environment={"FILE": file})
    assert Path(file).stat().st_mode & 0o077 == 0
    for _ in range(3):
        call(stack, "techsksn")
    stack.redis("techsksn").flushall()
    stack.run("make", "restore-techsksn", environment={"FILE": file})
    assert left_now(stack, "techsksn") == before - 1
    Path(file).write_bytes(b"REDIS0011" + b"\0" * 100)
    output = stack.run("make", "restore-techsksn", check=False, environment={"FILE": file})
    assert "The counts are as they were" in output
    within(60, lambda: is_ready(stack, "techsksn"))
    assert left_now(stack, "techsksn") == before - 2


def test_redis_is_upgraded_after_a_backup(stack: Stack) -> None:
    """REDIS_IMAGE in deploy/.env names the image. The counts and the old log stay."""
    run("docker", "tag", "redis:8-alpine", "redis:next")
    (stack.folder / "deploy" / ".env").write_text("REDIS_IMAGE=redis:next\n")
    before = left_now(stack, "techsksn")
    assert "keys" in stack.run("make", "upgrade-redis-techsksn")
    assert inspect("techsksn-redis-stack", "{{.Config.Image}}") == "redis:next"
    assert left_now(stack, "techsksn") == before - 1
    (stack.folder / "deploy" / ".env").unlink()
    assert any(log.startswith("techsksn-redis-stack-") for log in stack.kept_logs("techsksn"))
    assert list(stack.folder.glob("backup-techsksn-*.rdb"))


def test_the_tenants_move_to_another_host(stack: Stack, tmp_path: Path) -> None:
    """Backups and both_down here, both_up and restores on a host that has none of it yet: the day's counts go on."""
    before = {tenant: left_now(stack, tenant) for tenant in TENANTS}
    for tenant in TENANTS:
        stack.run("make", f"backup-{tenant}", environment={"FILE": str(tmp_path / tenant)})
    stack.run("./both_down")
    assert not containers("--filter", "status=running")
    with pytest.raises(requests.ConnectionError):
        call(stack, "sksndev")
    remove_everything()
    stack.run("./both_up")
    for tenant in TENANTS:
        stack.run("make", f"restore-{tenant}", environment={"FILE": str(tmp_path / tenant)})
        assert left_now(stack, tenant) == before[tenant] - 1
