"""Operating the tenants: look, change settings, survive faults, back up and restore, add a tenant, stop and start."""

import threading
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import free_port
from deploy.local.supabase_auth import SupabaseStandIn
from tests.containers.calls import call, containers, is_ready, left_now, revision
from tests.containers.conftest import TENANTS, Stack, current, inspect, run
from tests.containers.external_redis import ExternalRedis
from tests.containers.ssh_server import SshServer
from tests.integration.waiting import within


def test_status_and_logs(stack: Stack, remote: SshServer) -> None:
    """Status shows what runs, its commit and its readiness, also from another machine."""
    within(60, lambda: inspect(current("sksndev"), "{{.State.Health.Status}}") == "healthy")
    remote.be_known()
    for environment in (None, remote.environment()):
        output = stack.run("make", "status", environment=environment)
        assert "sksndev: running, healthy, release " in output
        assert f"commit {revision('sksndev')}" in output
        assert '"ready": true' in output
    logs = stack.run("timeout", "3", "make", "logs-sksndev", check=False, environment=remote.environment())
    assert '"event"' in logs


def test_the_doctor_examines_container_and_dependencies(stack: Stack) -> None:
    """All is fine in normal operation. A stopped proxy, a frozen broker and a paused Redis are errors (status 1)."""
    output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    for subject in (f"container {current('sksndev')}: running, healthy", "/ready", "proxy", "Redis keeps the counts"):
        assert f"fine         {subject}" in output
    assert "WRONG" not in output
    assert "not checked  public URL" in output
    run("docker", "pause", "sksndev-redis-stack")
    output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    run("docker", "unpause", "sksndev-redis-stack")
    assert "WRONG        Redis: no response" in output
    assert "Error 1" in output
    run("docker", "stop", "sksndev-proxy")
    assert "WRONG        proxy" in stack.run("make", "doctor", "TENANT=sksndev", check=False)
    run("docker", "start", "sksndev-proxy")
    assert "name a tenant" in stack.run("make", "doctor", check=False)
    within(60, lambda: is_ready(stack, "sksndev"))


def test_models_are_rehearsed_before_they_are_in_force(stack: Stack) -> None:
    """The settings are this machine's, the image is the serving one, and no container stays."""
    text = (stack.folder / ".env.sksndev").read_text()
    stack.write_env("sksndev", MODELS='{"gpt-4o": "gpt-9", "gpt-4o-mini": "gpt-6-luna"}')
    output = stack.run("make", "rehearse", "TENANT=sksndev", check=False)
    (stack.folder / ".env.sksndev").write_text(text)
    assert "gpt-9" in output
    assert "WRONG" in output


def test_settings_are_reloaded_without_a_new_container(stack: Stack) -> None:
    """A mistake is named and the old settings stay; open answers go on."""
    before, text = current("sksndev"), (stack.folder / ".env.sksndev").read_text()
    stack.openai.token_delay = 0.2
    response = call(stack, "sksndev", path="/stream", stream=True)
    stack.openai.token_delay = 0.02
    first = response.raw.read1(1000)
    stack.write_env("sksndev", DAILY_LIMIT="none")
    output = stack.run("make", "reload", "TENANT=sksndev", check=False)
    assert "DAILY_LIMIT must be" in output
    assert "q=100000;" in call(stack, "sksndev").headers["RateLimit-Policy"]
    stack.write_env("sksndev", DAILY_LIMIT="90000")
    stack.run("make", "reload", "TENANT=sksndev")
    within(20, lambda: "q=90000;" in call(stack, "sksndev").headers["RateLimit-Policy"])
    assert (first + response.raw.read()).count(b'{"data"') > 10
    (stack.folder / ".env.sksndev").write_text(text)
    stack.run("make", "reload", "TENANT=sksndev")
    assert current("sksndev") == before


def test_a_killed_broker_restarts_and_keeps_its_counts(stack: Stack) -> None:
    """SIGKILL to its first process: the engine restarts it, and the proxy finds it again."""
    before, name = left_now(stack, "sksndev"), current("sksndev")
    pid = inspect(name, "{{.State.Pid}}")
    kill = f"import os; os.kill({pid}, 9)"
    run("docker", "run", "--rm", "--pid=host", "--user=0", inspect(name, "{{.Image}}"), "python", "-c", kill)
    within(60, lambda: inspect(name, "{{.State.Pid}} {{.State.Running}}") not in (f"{pid} true", "0 false"))
    within(60, lambda: is_ready(stack, "sksndev"))
    assert left_now(stack, "sksndev") == before - 1
    assert inspect(name, "{{.RestartCount}}") == "1"
    output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    assert "remark       container" in output
    assert "restarted it 1 times" in output


def test_a_restarted_redis_keeps_its_counts(stack: Stack) -> None:
    """The other tenant is not affected."""
    before = left_now(stack, "sksndev")
    run("docker", "restart", "--time", "10", "sksndev-redis-stack")
    within(60, lambda: is_ready(stack, "sksndev"))
    assert left_now(stack, "sksndev") == before - 1
    assert inspect(current("techsksn"), "{{.RestartCount}}") == "0"


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
    run("docker", "restart", "techsksn-redis-stack")
    within(60, lambda: is_ready(stack, "techsksn"))
    assert left_now(stack, "techsksn") == before - 2
    Path(file).write_bytes(b"REDIS0011" + b"\0" * 100)
    output = stack.run("make", "restore-techsksn", check=False, environment={"FILE": file})
    assert "The counts are as they were" in output
    within(60, lambda: is_ready(stack, "techsksn"))
    assert left_now(stack, "techsksn") == before - 3


def test_redis_is_upgraded_after_a_backup(stack: Stack) -> None:
    """REDIS_IMAGE in deploy/.env names the image; the counts stay."""
    run("docker", "tag", "redis:8-alpine", "redis:next")
    (stack.folder / "deploy" / ".env").write_text("REDIS_IMAGE=redis:next\n")
    before = left_now(stack, "techsksn")
    assert "keys" in stack.run("make", "upgrade-redis-techsksn")
    assert inspect("techsksn-redis-stack", "{{.Config.Image}}") == "redis:next"
    assert left_now(stack, "techsksn") == before - 1
    (stack.folder / "deploy" / ".env").unlink()
    assert list(stack.folder.glob("backup-techsksn-*.rdb"))


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
    stack.openai.token_delay = 0.05
    response = call(stack, "third", path="/stream", stream=True)
    stack.openai.token_delay = 0.02
    stopping = threading.Thread(target=stack.run, args=("make", "down-third"))
    name, started = current("third"), inspect(current("sksndev"), "{{.State.StartedAt}}")
    stopping.start()
    assert response.raw.read().count(b'{"data"') > 10
    stopping.join()
    assert inspect(name, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    assert not {"third-proxy", "third-redis-stack"} & containers()
    assert inspect(current("sksndev"), "{{.State.StartedAt}}") == started


def test_a_tenant_may_use_an_external_redis_and_secrets_in_files(stack: Stack, tmp_path: Path) -> None:
    """A private authority's certificate and the key are in deploy/secrets; no Redis is started for the tenant."""
    external, secrets = ExternalRedis(tmp_path, stack.openai.host), stack.folder / "deploy" / "secrets" / "third"
    secrets.mkdir(parents=True)
    (secrets / "redis-ca.pem").write_text(external.authority)
    (secrets / "openai_key").write_text(stack.openai.key + "\n")
    url = f"rediss://:@{stack.openai.host}:{external.port}?ssl_ca_certs=/settings/redis-ca.pem"
    stack.write_env("third", REDIS_URL=url, OPENAI_API_KEY="", OPENAI_API_KEY_FILE="/settings/openai_key")
    stack.run("make", "deploy-third")
    assert call(stack, "third").status_code == 200
    assert external.client.dbsize() > 0
    assert "third-redis-stack" not in containers()
    assert "no Redis of deploy/stack runs" in stack.run("make", "backup-third", check=False)
    assert "deploy/secrets" not in stack.run("git", "status", "--short", "--untracked-files=all")
    stack.run("make", "down-third")
    external.stop()
    stack.ports.pop("third")
    stack.supabase.pop("third").stop()
    stack.write_tenants()


def test_both_go_down_and_up_and_the_counts_are_kept(stack: Stack) -> None:
    """No container runs after both_down. both_up starts both again, and the day's counts go on."""
    before = {tenant: left_now(stack, tenant) for tenant in TENANTS}
    stack.run("./both_down")
    assert not containers("--filter", "status=running")
    with pytest.raises(requests.ConnectionError):
        call(stack, "sksndev")
    stack.run("./both_up")
    for tenant in TENANTS:
        assert left_now(stack, tenant) == before[tenant] - 1


def test_a_bad_commit_after_both_down_gives_the_last_good_release(stack: Stack) -> None:
    """It runs with its own settings, checked. both_up names it and fails."""
    stack.run("./both_down")
    path = stack.folder / "wsgi.py"
    good, before = path.read_text(), revision("sksndev")
    path.write_text(good.replace("import", "raise SystemExit\nimport", 1))
    stack.commit("a harmful change")
    output = stack.run("./both_up", check=False)
    path.write_text(good)
    stack.commit("mended")
    assert "The last good one is back with its settings" in output
    assert "Not updated" in output
    stack.run("./both_up")
    assert before
    assert call(stack, "sksndev").status_code == 200
