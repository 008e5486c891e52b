"""From an empty host to all tenants live: deploy/README.md, sections 1 to 5. The tests build on each other."""

import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
import requests

from tests.containers.calls import call, containers, counted_users, is_ready
from tests.containers.conftest import TENANTS, Stack, current, inspect, run
from tests.integration.live_targets import live, resolve_here
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.waiting import within

LITERAL = "sb_publishable_$key-$$-${key}"  # compose and python-dotenv would interpolate it


def test_compose_accepts_both_files(stack: Stack) -> None:
    """Every variable has its default."""
    for name in ("compose.yaml", "monitoring.yaml"):
        stack.run("docker", "compose", "-f", f"deploy/{name}", "config", "--quiet")


def test_both_up_names_missing_files_before_anything_starts(stack: Stack) -> None:
    """Each missing file is named with its remedy."""
    stack.write_env("sksndev")
    output = stack.run("./both_up", check=False)
    assert "Missing: .env.techsksn. Nothing was started." in output
    assert "cp config/example.env .env.techsksn" in output
    assert not containers()


def test_both_up_names_wrong_settings_before_anything_starts(stack: Stack) -> None:
    """The program's own check names the file and every variable. The file is closed to other users."""
    stack.write_env("techsksn", DAILY_LIMIT="many", SUPABASE_URL="")
    (stack.folder / ".env.techsksn").chmod(0o644)
    output = stack.run("./both_up", check=False)
    assert ".env.techsksn cannot be used. Nothing was started." in output
    assert "DAILY_LIMIT must be" in output
    assert "SUPABASE_URL is required" in output
    assert ".env.sksndev cannot" not in output
    assert ".env.techsksn was accessible to every user" in output
    assert (stack.folder / ".env.techsksn").stat().st_mode & 0o007 == 0
    assert not containers()


def test_taken_ports_are_named_before_anything_starts(stack: Stack) -> None:
    """The message names the container or another program, and the remedy."""
    stack.write_env("techsksn")
    run("docker", "run", "--detach", "--name", "squatter", "--publish", f"127.0.0.1:{stack.ports['techsksn']}:80",
        "nginx:1.28-alpine")  # fmt: skip
    with socket.create_server(("127.0.0.1", stack.ports["sksndev"])):
        output = stack.run("./both_up", check=False)
    run("docker", "rm", "--force", "squatter")
    assert "is taken by the container squatter: stop it, or change the port in deploy/tenants" in output
    assert f"is taken by another program (ss -ltnp 'sport = :{stack.ports['sksndev']}' names it)" in output
    assert not containers()


def test_without_permission_for_docker_the_remedy_is_named(stack: Stack, tmp_path: Path) -> None:
    """A HOST without a scheme or user is refused instead of acting on the local engine."""
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\necho 'permission denied while trying to connect to the Docker daemon socket' >&2\nexit 1\n"
    )
    docker.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    output = stack.run("deploy/stack", "status", check=False, environment={"PATH": path, "HOST": ""})
    assert "sudo usermod -aG docker" in output
    output = stack.run("deploy/stack", "status", check=False, environment={"HOST": "elsewhere"})
    assert "write HOST=ssh://user@elsewhere" in output


def test_both_up_starts_both_and_says_where(stack: Stack) -> None:
    """Both are ready under the contract's names, on loopback. CRLF and $ in an env file are understood."""
    stack.write_env("techsksn", PLAYGROUND="on", SUPABASE_ANON_KEY=LITERAL)
    text = (stack.folder / ".env.techsksn").read_text()
    (stack.folder / ".env.techsksn").write_bytes(text.replace("\n", "\r\n").encode())
    for tenant in TENANTS:
        stack.write_target(tenant, stack.url(tenant))
        (stack.folder / "tests" / "live" / f".env.{tenant}").chmod(0o644)
    output = stack.run("./both_up")
    assert "tests/live/.env.sksndev was accessible to every user" in output
    assert output.count("the user signs in with email and password") == 2
    for tenant in TENANTS:
        assert f"{tenant} runs {stack.head()}, release 1: {stack.url(tenant)}" in output
        assert requests.get(stack.url(tenant) + "/ready", timeout=5).json()["ready"]
        for name in ("proxy", "redis-stack"):
            published = json.loads(inspect(f"{tenant}-{name}", "{{json .NetworkSettings.Ports}}"))
            assert {at["HostIp"] for port in published.values() for at in port or []} == {"127.0.0.1"}
    assert call(stack, "sksndev").status_code == 200
    assert requests.get(stack.url("techsksn") + "/playground/settings.json", timeout=5).json()["anon_key"] == LITERAL


def test_both_up_again_changes_nothing_and_refuses_a_mistyped_key(stack: Stack) -> None:
    """The same commit with the same settings keeps its container. A mistyped key does not replace the good one."""
    before = {tenant: current(tenant) for tenant in TENANTS}
    with stack.changed_settings("sksndev", OPENAI_API_KEY="sk-mistyped"):
        output = stack.run("./both_up", check=False, environment={"READY_WITHIN": "10"})
    assert f"techsksn runs {stack.head()} with these settings already" in output
    assert re.search(r'is not ready after 10 s: .*"openai": "[^"]*refuse', output)
    assert "sksndev: the new release is not in service" in output
    assert "Not updated: sksndev" in output
    assert "sk-mistyped" not in output
    assert {tenant: current(tenant) for tenant in TENANTS} == before
    assert call(stack, "sksndev").status_code == 200


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_broker_has_few_privileges(stack: Stack, tenant: str) -> None:
    """It has no root, no capability, no new privileges, and a read-only file system."""
    status = run("docker", "exec", current(tenant), "cat", "/proc/1/status")
    facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    for path in ("/app/x", "/settings/x"):
        assert "Read-only file system" in run("docker", "exec", current(tenant), "touch", path, check=False)


def test_no_key_is_shown_by_the_engine(stack: Stack) -> None:
    """Neither inspect, the image's history nor the process's environment shows one."""
    shown = "".join(
        run(*command)
        for command in (
            ("docker", "container", "inspect", current("sksndev")),
            ("docker", "image", "inspect", "gpt-broker:sksndev-1"),
            ("docker", "history", "--no-trunc", "gpt-broker:sksndev-1"),
            ("docker", "exec", current("sksndev"), "env"),
        )
    )
    assert stack.openai.key not in shown
    files = run("docker", "exec", current("sksndev"), "sh", "-c", "ls -a /app /app/*; ls -l /settings")
    assert ".env" not in files
    assert "tests" not in files
    assert "-rw------- 1 10001 10001" in files


def test_each_tenant_has_its_own_redis(stack: Stack) -> None:
    """`redis-stack` is the tenant's own; the other's name does not resolve. Nothing is evicted, all is persistent."""
    before = {tenant: counted_users(stack, tenant) for tenant in TENANTS}
    assert call(stack, "sksndev", stack.supabase["sksndev"].token("linus@example.com")).status_code == 200
    assert counted_users(stack, "sksndev") > before["sksndev"]
    assert counted_users(stack, "techsksn") == before["techsksn"]
    resolve = "import socket,sys; print(socket.gethostbyname(sys.argv[1]))"
    for tenant, other in (TENANTS, TENANTS[::-1]):
        own = inspect(f"{tenant}-redis-stack", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
        command = (
            "docker",
            "exec",
            "--env",
            "RES_OPTIONS=timeout:1 attempts:1",
            current(tenant),
            "python",
            "-c",
            resolve,
        )
        assert run(*command, "redis-stack").strip() == own
        assert "gaierror" in run(*command, f"{other}-redis-stack", check=False)
        assert stack.redis(tenant).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stack.redis(tenant).config_get("appendonly") == {"appendonly": "yes"}


def test_the_live_suite_passes_on_both(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """Every check passes, signed in through Supabase."""
    status = live(["--folder", str(stack.folder / "tests" / "live"), *TENANTS])
    output = capsys.readouterr().out
    assert status == 0, output
    assert "WRONG" not in output


def test_the_live_suite_passes_through_nginx(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The public reaches both by name and over TLS; /metrics and /ready are closed."""
    upstreams = {tenant: f"127.0.0.1:{port}" for tenant, port in stack.ports.items()}
    nginx = NginxProcess(tmp_path, upstreams, METRICS_ALLOW="10.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(nginx.certificate))
    resolve_here(monkeypatch)
    for tenant, host in HOSTS.items():
        stack.write_target(f"{tenant}_prod", f"https://{host}:{nginx.port}")
    targets = [f"{tenant}_prod" for tenant in TENANTS]
    status = live(["--folder", str(stack.folder / "tests" / "live"), *targets])
    nginx.stop()
    output = capsys.readouterr().out
    assert status == 0, output
    for target in targets:  # the following tests do not use nginx
        (stack.folder / "tests" / "live" / f".env.{target}").unlink()


def test_only_the_tenant_s_account_is_sent_to_the_host(stack: Stack) -> None:
    """The live checks of a deployment include that tenant's file and no other."""
    packed = subprocess.run(
        ("bash", "-c", PACK),
        cwd=stack.folder, env={"PATH": "/usr/bin:/bin", "PACKED": str(stack.folder / "packed.tar")},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    (stack.folder / "packed.tar").unlink()
    assert [name for name in packed if ".env" in name] == ["tests/live/.env.sksndev"]


PACK = """
. deploy/scripts/releases.sh
docker() { cat >"$PACKED"; }
state() { :; }
broker() { :; }
live_quick sksndev 1
tar --list --file "$PACKED"
"""


def test_status_and_logs(stack: Stack) -> None:
    """Status shows what runs, its commit and its readiness."""
    within(60, lambda: inspect(current("sksndev"), "{{.State.Health.Status}}") == "healthy")
    output = stack.run("make", "status")
    assert "sksndev: running, healthy, release 1" in output
    assert f"commit {stack.head()}" in output
    assert '"ready": true' in output
    assert '"event"' in stack.run("timeout", "2", "make", "logs-sksndev", check=False)


def test_the_doctor_finds_all_fine(stack: Stack) -> None:
    """It exits with 0 in normal operation."""
    output = stack.run("make", "doctor", "TENANT=sksndev")
    subjects = (f"container {current('sksndev')}: running, healthy", "/ready", "proxy", "Redis keeps the counts",
                "a user's token has the expected issuer", "clock, compared with a user's token")  # fmt: skip
    for subject in subjects:
        assert f"fine         {subject}" in output
    assert "not checked  public URL" in output
    assert "name a tenant" in stack.run("make", "doctor", check=False)


@pytest.mark.parametrize(
    ("fault", "repair", "finding"),
    [("pause", "unpause", "paused: docker unpause"), ("stop", "start", "it is exited since")],
)
def test_the_doctor_sees_a_broker_that_is_frozen_or_stopped(
    stack: Stack, fault: str, repair: str, finding: str
) -> None:
    """It exits with 1 and names the remedy."""
    name = current("sksndev")
    run("docker", fault, name)
    output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    run("docker", repair, name)
    within(60, lambda: is_ready(stack, "sksndev"))
    assert f"WRONG        container {name}: {finding}" in output
    assert f"docker {repair} {name}" in output
    assert "Error 1" in output


def test_the_doctor_sees_faults_around_the_broker(stack: Stack) -> None:
    """They are a wrong issuer, with which every user gets 401, a frozen Redis and a stopped proxy."""
    with stack.reloaded_settings("sksndev", SUPABASE_JWT_ISSUER="https://another.example/auth/v1"):
        within(20, lambda: call(stack, "sksndev").status_code == 401)
        run("docker", "pause", "sksndev-redis-stack")
        run("docker", "stop", "sksndev-proxy")
        output = stack.run("make", "doctor", "TENANT=sksndev", check=False)
        run("docker", "unpause", "sksndev-redis-stack")
        run("docker", "start", "sksndev-proxy")
    for finding in ("a user's token has the expected issuer: Supabase writes", "Redis: no response", "proxy"):
        assert f"WRONG        {finding}" in output
    assert "Error 1" in output
    within(60, lambda: is_ready(stack, "sksndev") and call(stack, "sksndev").status_code == 200)


def test_models_are_rehearsed_before_they_are_in_force(stack: Stack) -> None:
    """The settings are this machine's, the image is the serving one, and no container stays."""
    with stack.changed_settings("sksndev", MODELS='{"gpt-4o": "gpt-9", "gpt-4o-mini": "gpt-6-luna"}'):
        output = stack.run("make", "rehearse", "TENANT=sksndev", check=False)
    assert "gpt-9" in output
    assert "WRONG" in output
