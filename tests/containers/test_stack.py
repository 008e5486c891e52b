"""Both tenants in containers, from an empty host to both brought down. The tests build on each other, in this order."""

import json
import shutil
import threading
import time
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import free_port
from deploy.local.supabase_auth import SupabaseStandIn
from tests.containers.conftest import TENANTS, Stack, inspect, run
from tests.containers.ssh_server import SshServer
from tests.integration.live_targets import live, resolve_here
from tests.integration.nginx_process import HOSTS, PATH, NginxProcess
from tests.integration.waiting import within

PROMETHEUS = """\
FROM python:3.13-slim
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""


def call(
    stack: Stack, tenant: str, user: str = "ada@example.com", path: str = "/gpt-4o", **options: object
) -> requests.Response:
    """A call of one of the cast's, answered in full unless `stream` is asked for."""
    supabase: SupabaseStandIn = stack.supabase[tenant]
    headers = {"Authorization": f"Bearer {supabase.token(user)}"}
    body = {"messages": "hello", "model": "gpt-4o"}
    return requests.post(stack.url(tenant) + path, json=body, headers=headers, timeout=30, **options)  # type: ignore[arg-type]


def left(response: requests.Response) -> int:
    return int(response.headers["RateLimit"].partition(";r=")[2].partition(";")[0])


def counted_users(stack: Stack, tenant: str) -> set[bytes]:
    # the one that it leaves out is /ready's own, for a moment
    return {key for key in stack.redis(tenant).scan_iter() if b"{ready}" not in key}


def revision(tenant: str) -> str:
    return inspect(f"{tenant}-gpt-broker", '{{index .Config.Labels "org.opencontainers.image.revision"}}')


def test_compose_takes_the_file_with_every_profile(stack: Stack) -> None:
    """Also the one that watches, whose images are not everywhere to be had."""
    stack.run("docker", "compose", "-f", "deploy/compose.yaml", "--profile", "*", "config", "--quiet")


def test_what_deploy_s_env_file_sets_holds_for_every_command(stack: Stack) -> None:
    """An address that one command is told and the next one is not would take a tenant off the net."""
    config = ("docker", "compose", "-f", "deploy/compose.yaml", "--profile", "sksndev", "config", "--format", "json")
    written = stack.folder / "deploy" / ".env"
    written.write_text("ADDRESS=127.0.0.2\n")
    services = json.loads(stack.run(*config))["services"]
    written.unlink()
    assert services["sksndev"]["ports"][0]["host_ip"] == "127.0.0.2"
    assert services["sksndev-redis"]["ports"][0]["host_ip"] == "127.0.0.1"


def test_both_up_names_what_is_missing_before_anything_starts(stack: Stack) -> None:
    """Each missing file, and what to do."""
    stack.write_env("sksndev")
    said = stack.run("./both_up", check=False)
    assert "Missing: .env.techsksn. Nothing was started." in said
    assert "cp config/example.env .env.techsksn" in said
    assert "gpt-broker" not in run("docker", "ps", "--all", "--format", "{{.Names}}")


def test_both_up_names_what_is_wrong_before_anything_starts(stack: Stack) -> None:
    """The file and every variable, from the program's own check."""
    stack.write_env("techsksn", DAILY_LIMIT="many", SUPABASE_URL="")
    said = stack.run("./both_up", check=False)
    assert ".env.techsksn cannot be used. Nothing was started." in said
    assert "DAILY_LIMIT must be" in said
    assert "SUPABASE_URL is required" in said
    assert ".env.sksndev" not in said
    assert "gpt-broker" not in run("docker", "ps", "--all", "--format", "{{.Names}}")


def test_both_up_starts_both_and_says_where(stack: Stack) -> None:
    """Ready, under the contract's names, published on loopback."""
    stack.write_env("techsksn")
    said = stack.run("./both_up")
    for tenant in TENANTS:
        assert f"{tenant} is ready: {stack.url(tenant)}" in said
        assert requests.get(stack.url(tenant) + "/ready", timeout=5).json()["ready"]
        for part in ("gpt-broker", "redis-stack"):
            published = json.loads(inspect(f"{tenant}-{part}", "{{json .NetworkSettings.Ports}}"))
            assert {at["HostIp"] for port in published.values() for at in port or []} == {"127.0.0.1"}
    assert call(stack, "sksndev").status_code == 200


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_broker_can_do_little(stack: Stack, tenant: str) -> None:
    """No root, no capability, no new privileges, nothing to write but /tmp, and no secret in the image."""
    status = run("docker", "exec", f"{tenant}-gpt-broker", "cat", "/proc/1/status")
    facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    touch = run("docker", "exec", f"{tenant}-gpt-broker", "touch", "/app/x", check=False)
    assert "Read-only file system" in touch
    shown = run("docker", "image", "inspect", f"gpt-broker:{tenant}") + run(
        "docker", "history", "--no-trunc", f"gpt-broker:{tenant}"
    )
    assert stack.openai.key not in shown
    files = run("docker", "exec", f"{tenant}-gpt-broker", "sh", "-c", "ls -a /app /app/*")
    assert ".env" not in files
    assert "tests" not in files


def test_each_tenant_has_a_redis_of_its_own(stack: Stack) -> None:
    """`redis-stack` is its own; the other's has no name there; nothing is evicted, all is written down."""
    before = {tenant: counted_users(stack, tenant) for tenant in TENANTS}
    assert call(stack, "sksndev", "linus@example.com").status_code == 200
    assert counted_users(stack, "sksndev") > before["sksndev"]
    assert counted_users(stack, "techsksn") == before["techsksn"]
    look = "import socket,sys; print(socket.gethostbyname(sys.argv[1]))"
    for tenant, other in (TENANTS, TENANTS[::-1]):
        own = inspect(f"{tenant}-redis-stack", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
        asked = (
            "docker",
            "exec",
            "--env",
            "RES_OPTIONS=timeout:1 attempts:1",
            f"{tenant}-gpt-broker",
            "python",
            "-c",
            look,
        )
        assert run(*asked, "redis-stack").strip() == own
        assert "gaierror" in run(*asked, f"{other}-redis-stack", check=False)
        assert stack.redis(tenant).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stack.redis(tenant).config_get("appendonly") == {"appendonly": "yes"}


def test_the_prometheus_that_is_started_beside_them_scrapes_both(stack: Stack, tmp_path: Path) -> None:
    """By name, in the tenants' networks, as a container that may do little; the program is Debian's."""
    program = shutil.which("prometheus", path=PATH)
    assert program, "prometheus is missing: `make test` installs it"
    shutil.copy2(program, tmp_path / "prometheus")
    (tmp_path / "Dockerfile").write_text(PROMETHEUS)
    run("docker", "build", "--quiet", "--tag", "gpt-broker:prometheus", str(tmp_path))
    config = stack.folder / "deploy" / "prometheus" / "prometheus.yml"
    text, port = config.read_text(), free_port()
    config.write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1s"))
    compose = ("docker", "compose", "-f", "deploy/compose.yaml", "--profile", "monitoring")
    there = {"PROMETHEUS_IMAGE": "gpt-broker:prometheus", "PROMETHEUS_PORT": str(port)}
    stack.run(*compose, "up", "--detach", "--no-build", "prometheus", environment=there)
    try:
        within(60, lambda: targets(port) == {("sksndev", "up"), ("techsksn", "up")})
        rules = requests.get(f"http://127.0.0.1:{port}/api/v1/rules", timeout=5).json()["data"]["groups"]
        assert sum(len(group["rules"]) for group in rules) > 8
    finally:
        stack.run(*compose, "rm", "--stop", "--force", "--volumes", "prometheus", environment=there)
        config.write_text(text)


def targets(port: int) -> set[tuple[str, str]]:
    """Each tenant's, and how the last scrape went."""
    try:
        answer = requests.get(f"http://127.0.0.1:{port}/api/v1/targets", timeout=5).json()
    except requests.RequestException:
        return set()
    return {(target["labels"]["tenant"], target["health"]) for target in answer["data"]["activeTargets"]}


def test_the_live_suite_is_content_with_both(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    """Every check, signed in through Supabase."""
    for tenant in TENANTS:
        stack.write_target(tenant, stack.url(tenant))
    status = live(["--folder", str(stack.folder / "tests" / "live"), *TENANTS])
    said = capsys.readouterr().out
    assert status == 0, said
    assert "WRONG" not in said


def test_the_live_suite_is_content_through_nginx(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the public reaches both: by name, over TLS, with /metrics and /ready closed."""
    upstreams = {tenant: f"127.0.0.1:{port}" for tenant, port in stack.ports.items()}
    nginx = NginxProcess(tmp_path, upstreams, METRICS_ALLOW="10.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(nginx.certificate))
    resolve_here(monkeypatch)
    for tenant, host in HOSTS.items():
        stack.write_target(f"{tenant}_prod", f"https://{host}:{nginx.port}")
    targets = [f"{tenant}_prod" for tenant in TENANTS]
    status = live(["--folder", str(stack.folder / "tests" / "live"), *targets])
    nginx.stop()
    said = capsys.readouterr().out
    assert status == 0, said
    for target in targets:  # what follows looks at the containers alone
        (stack.folder / "tests" / "live" / f".env.{target}").unlink()


def test_a_killed_broker_comes_back_and_forgets_nothing(stack: Stack) -> None:
    """SIGKILL to its first process: the engine starts it again; the day's count goes on."""
    before = left(call(stack, "sksndev"))
    pid = inspect("sksndev-gpt-broker", "{{.State.Pid}}")
    kill = f"import os; os.kill({pid}, 9)"
    run("docker", "run", "--rm", "--pid=host", "--user=0", "gpt-broker:sksndev", "python", "-c", kill)
    within(
        60, lambda: inspect("sksndev-gpt-broker", "{{.State.Pid}} {{.State.Running}}") not in (f"{pid} true", "0 false")
    )
    within(60, lambda: is_ready(stack, "sksndev"))
    assert left(call(stack, "sksndev")) == before - 1
    assert int(inspect("sksndev-gpt-broker", "{{.RestartCount}}")) == 1


def test_a_restarted_redis_forgets_nothing(stack: Stack) -> None:
    """And the other tenant does not notice."""
    before = left(call(stack, "sksndev"))
    run("docker", "restart", "--time", "10", "sksndev-redis-stack")
    within(60, lambda: is_ready(stack, "sksndev"))
    for _ in range(10):  # the other worker may not have heard of it yet: 503, which costs nothing
        if (response := call(stack, "sksndev")).status_code != 503:
            break
        time.sleep(float(response.headers["Retry-After"]))
    assert left(response) == before - 1
    assert inspect("techsksn-gpt-broker", "{{.RestartCount}}") == "0"


def test_a_stopped_broker_finishes_its_streams_and_takes_no_new_calls(stack: Stack) -> None:
    """Within the grace period; the container ends with status 0, not by force."""
    response = call(stack, "techsksn", path="/stream", stream=True)
    first = response.raw.read1(1000)
    stopping = threading.Thread(target=run, args=("docker", "stop", "--time", "30", "techsksn-gpt-broker"))
    stopping.start()
    time.sleep(0.4)
    with pytest.raises(requests.ConnectionError):
        call(stack, "techsksn")
    lines = [json.loads(line) for line in (first + response.raw.read()).splitlines()]
    stopping.join()
    assert "".join(line["data"] for line in lines) == stack.openai.answer
    assert inspect("techsksn-gpt-broker", "{{.State.ExitCode}}") == "0"


def test_a_remote_host_that_does_not_answer_is_named_with_the_reason(stack: Stack, remote: SshServer) -> None:
    """Here ssh's: it does not know the host yet."""
    said = stack.run("make", "status", check=False, environment=remote.environment())
    assert f"No Docker engine answers at {remote.url}" in said
    assert "Host key verification failed" in said


def test_a_deployment_that_is_well_stays(stack: Stack, remote: SshServer) -> None:
    """The image of this commit, checked by the live suite's quick part, signed in; all of it over ssh."""
    (stack.folder / "broker" / "note.py").write_text('"""A change."""\n')
    commit = stack.commit("a change that does no harm")
    remote.be_known()
    said = stack.run("make", "deploy-sksndev", environment=remote.environment())
    assert "a stream streams" in said
    assert f"sksndev runs {commit}" in said
    assert revision("sksndev") == commit
    assert revision("techsksn") != commit
    assert remote.sessions() > 10  # nothing of it went another way


def test_a_deployment_that_is_not_well_is_taken_back(stack: Stack) -> None:
    """It starts and is ready, but breaks the contract: the image before is back, and the command fails."""
    before, wire = revision("sksndev"), stack.folder / "broker" / "faults.py"
    good = wire.read_text()
    wire.write_text(good.replace("Authorization header is required", "Who are you?"))
    stack.commit("a change that does harm")
    said = stack.run("make", "deploy-sksndev", check=False)
    wire.write_text(good)
    stack.commit("mended")
    assert "WRONG" in said
    assert "the image before is back, and ready" in said
    assert "Error 1" in said
    assert revision("sksndev") == before
    assert call(stack, "sksndev").status_code == 200


def test_a_deployment_that_does_not_start_is_taken_back(stack: Stack) -> None:
    """Also one that never gets ready."""
    before, operations = revision("sksndev"), stack.folder / "broker" / "endpoints" / "operations.py"
    good = operations.read_text()
    operations.write_text(good.replace('"/ready"', '"/readi"'))
    stack.commit("a change that never gets ready")
    said = stack.run("env", "READY_WITHIN=6", "make", "deploy-sksndev", check=False)
    operations.write_text(good)
    stack.commit("mended again")
    assert "sksndev is not ready after 6 s" in said
    assert revision("sksndev") == before
    within(60, lambda: is_ready(stack, "sksndev"))
    assert call(stack, "sksndev").status_code == 200


def test_rollback_puts_the_image_before_back(stack: Stack, remote: SshServer) -> None:
    """And again, from another machine: the one after it."""
    now = revision("sksndev")
    stack.run("make", "rollback-sksndev")
    assert revision("sksndev") != now
    assert f"sksndev runs {now} again" in stack.run("make", "rollback-sksndev", environment=remote.environment())
    assert revision("sksndev") == now


def test_status_and_logs_tell_of_it(stack: Stack, remote: SshServer) -> None:
    """What runs, from which commit, whether it is ready; the same from another machine."""
    within(60, lambda: inspect("sksndev-gpt-broker", "{{.State.Health.Status}}") == "healthy")
    for environment in (None, remote.environment()):
        said = stack.run("make", "status", environment=environment)
        assert f"sksndev: running, healthy, commit {revision('sksndev')}" in said
        assert '"ready": true' in said
        assert "techsksn: exited" in said
    logs = stack.run("timeout", "3", "make", "logs-sksndev", check=False, environment=remote.environment())
    assert '"event": "request"' in logs


def test_the_doctor_looks_from_inside_the_tenant_s_network(stack: Stack) -> None:
    """Fine where all is well; the public URL is named as not checked; a Redis that is away is found."""
    said = stack.run("make", "doctor", "TENANT=sksndev")
    assert "fine         Redis keeps the counts" in said
    assert "fine         OpenAI's key" in said
    assert "not checked  public URL" in said
    run("docker", "pause", "sksndev-redis-stack")
    said = stack.run("make", "doctor", "TENANT=sksndev", check=False)
    run("docker", "unpause", "sksndev-redis-stack")
    assert "WRONG        Redis: it does not answer" in said
    assert "name a tenant" in stack.run("make", "doctor", check=False)


def test_one_goes_down_then_both_and_the_counts_are_kept(stack: Stack, remote: SshServer) -> None:
    """The other goes on as it was; at last nothing runs; brought up again, the day's counts go on."""
    run("docker", "start", "techsksn-gpt-broker")
    within(60, lambda: is_ready(stack, "sksndev") and is_ready(stack, "techsksn"))
    before, started = {tenant: left(call(stack, tenant)) for tenant in TENANTS}, "{{.State.StartedAt}}"
    untouched = inspect("sksndev-gpt-broker", started), inspect("sksndev-redis-stack", started)
    assert "Its counts of calls are kept" in stack.run("make", "down-techsksn", environment=remote.environment())
    assert not {"techsksn-gpt-broker", "techsksn-redis-stack"} & containers()
    assert (inspect("sksndev-gpt-broker", started), inspect("sksndev-redis-stack", started)) == untouched
    assert left(call(stack, "sksndev")) == before["sksndev"] - 1
    stack.run("./both_down")
    assert not {f"{tenant}-{part}" for tenant in TENANTS for part in ("gpt-broker", "redis-stack")} & containers()
    stack.run("./both_up")
    assert left(call(stack, "techsksn")) == before["techsksn"] - 1
    assert left(call(stack, "sksndev")) == before["sksndev"] - 2


def containers() -> set[str]:
    return set(run("docker", "ps", "--all", "--format", "{{.Names}}").split())


def is_ready(stack: Stack, tenant: str) -> bool:
    try:
        return requests.get(stack.url(tenant) + "/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False
