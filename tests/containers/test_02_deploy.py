"""Deployments under traffic: no call is lost, no stream is cut, and a bad commit is never in service."""

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.containers.calls import call, containers, revision
from tests.containers.conftest import Stack, current, inspect, run
from tests.containers.ssh_server import SshServer
from tests.containers.traffic import STREAMS, Traffic, traffic
from tests.integration.live_targets import resolve_here
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.waiting import within

COUNT = itertools.count()


def commit_change(stack: Stack) -> str:
    (stack.folder / "broker" / "note.py").write_text(f'"""Change {next(COUNT)}."""\n')
    return stack.commit("a harmless change")


def broken(stack: Stack, path: str, old: str, new: str) -> str:
    """Commit a change that breaks the broker; returns the text to restore."""
    file = stack.folder / path
    good = file.read_text()
    assert old in good
    file.write_text(good.replace(old, new, 1))
    stack.commit("a harmful change")
    return good


def mend(stack: Stack, path: str, good: str) -> None:
    (stack.folder / path).write_text(good)
    stack.commit("mended")


def test_a_deployment_under_traffic_loses_nothing(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,000 calls on the broker's port and through nginx, 20 open streams on each: none fails in three deployments."""
    nginx = NginxProcess(
        tmp_path, {tenant: f"127.0.0.1:{port}" for tenant, port in stack.ports.items()}, RATE="10000", BURST="10000"
    )
    resolve_here(monkeypatch)
    token = stack.supabase["sksndev"].token("linus@example.com")
    direct = Traffic(stack.url("sksndev"), token, rate=30)
    public = Traffic(f"https://{HOSTS['sksndev']}:{nginx.port}", token, rate=30, verify=str(nginx.certificate))
    before, stack.openai.token_delay = revision("sksndev"), 0.2
    try:
        with traffic(direct, public):
            time.sleep(1)
            first = commit_change(stack)
            assert f"sksndev runs {first}" in stack.run("make", "deploy-sksndev")
            good = broken(stack, "wsgi.py", "import", "raise SystemExit\nimport")
            assert "Error 1" in stack.run("make", "deploy-sksndev", check=False)
            mend(stack, "wsgi.py", good)
            assert f"sksndev runs {before}" in stack.run("make", "rollback-sksndev")
            within(120, lambda: direct.calls + public.calls > 2000)
            assert len(drained("sksndev")) < 3
    finally:
        stack.openai.token_delay = 0.02
        nginx.stop()
    assert min(direct.streams, public.streams) > STREAMS
    assert max(direct.gaps, public.gaps) < 3
    assert revision("sksndev") == before


def drained(tenant: str) -> list[str]:
    names = run("docker", "ps", "--format", "{{.Names}}", "--filter", f"label=gpt-broker.tenant={tenant}").split()
    return [name for name in names if name != current(tenant)]


def test_an_old_release_drains_until_its_last_answer_ends(stack: Stack) -> None:
    """A stream that outlives the deployment ends whole; then the old container stops by itself. Its log stays."""
    account = stack.folder / "tests" / "live" / ".env.techsksn"
    account.unlink()  # without an account, the live checks need no stream
    stack.openai.token_delay = 2
    response, old = call(stack, "techsksn", path="/stream", stream=True), current("techsksn")
    first = response.raw.read1(1000)
    stack.run("make", "deploy-techsksn")
    assert current("techsksn") != old
    assert f"release {old.rpartition('-')[2]} drains: 1 open calls" in stack.run("make", "status")
    time.sleep(5)  # `make status` only looks
    assert inspect(old, "{{.State.Status}}") == "running"
    assert '"Handling signal: term"' not in run("docker", "logs", old)
    stack.openai.token_delay = 0.02
    stack.write_target("techsksn", stack.url("techsksn"))
    text = "".join(json.loads(line)["data"] for line in (first + response.raw.read()).splitlines())
    assert text == stack.openai.answer
    within(20, lambda: inspect(old, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0")
    assert '"event": "request"' in stack.run("make", "logs-techsksn", environment={"RELEASE": old.rpartition("-")[2]})


def test_a_remote_host_that_does_not_answer_is_named_with_the_reason(stack: Stack, remote: SshServer) -> None:
    """The reason is ssh's own message. HOST without ssh:// is read as ssh."""
    output = stack.run("make", "status", check=False, environment=remote.environment())
    assert f"No Docker engine answers at {remote.url}" in output
    assert "Host key verification failed" in output
    short = remote.environment() | {"HOST": remote.url.removeprefix("ssh://")}
    assert f"No Docker engine answers at {remote.url}" in stack.run("make", "status", check=False, environment=short)


def test_a_deployment_over_ssh_names_uncommitted_files(stack: Stack, remote: SshServer) -> None:
    """The image has this commit only, and passes the live suite's quick part, signed in."""
    commit = commit_change(stack)
    (stack.folder / "broker" / "untracked.py").write_text("X = 1\n")
    remote.be_known()
    output = stack.run("make", "deploy-sksndev", environment=remote.environment())
    (stack.folder / "broker" / "untracked.py").unlink()
    assert "Not committed, so not in the image:" in output
    assert "broker/untracked.py" in output
    assert "a stream streams" in output
    assert f"sksndev runs {commit}" in output
    assert revision("sksndev") == commit
    assert revision("techsksn") != commit
    assert "untracked" not in run("docker", "exec", current("sksndev"), "ls", "broker")
    assert remote.sessions() > 10  # nothing went another way


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        ("wsgi.py", "import", "raise SystemExit('planted')\nimport", "ends right after its start"),
        ("broker/web/endpoints/operations.py", '"/ready"', '"/readi"', "is not ready after 6 s"),
    ],
)
def test_a_commit_that_does_not_start_is_never_in_service(
    stack: Stack, path: str, old: str, new: str, expected: str
) -> None:
    """The previous release stays in service. The command fails and shows the end of the log, which stays."""
    before, good = current("sksndev"), broken(stack, path, old, new)
    limit = "6" if path != "wsgi.py" else "60"  # seconds
    output = stack.run("make", "deploy-sksndev", check=False, environment={"READY_WITHIN": limit})
    mend(stack, path, good)
    assert expected in output
    assert "serves as before" in output
    assert "Error 1" in output
    assert current("sksndev") == before
    assert call(stack, "sksndev").status_code == 200
    failed = output.partition("make logs-sksndev RELEASE=")[2].partition(")")[0]
    assert stack.run("make", "logs-sksndev", environment={"RELEASE": failed})


def test_a_commit_that_breaks_the_contract_is_never_in_service(stack: Stack) -> None:
    """It starts and is ready, but the live checks fail before any user is affected."""
    before, path = current("sksndev"), "broker/errors/base.py"
    seen: set[str] = set()
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            seen.add(requests.post(stack.url("sksndev") + "/gpt-4o", timeout=5).json()["error"])

    watcher = threading.Thread(target=watch)
    good = broken(stack, path, "Authorization header is required", "Who are you?")
    watcher.start()
    output = stack.run("make", "deploy-sksndev", check=False)
    stopped.set()
    watcher.join()
    mend(stack, path, good)
    assert "WRONG" in output
    assert seen == {"Authorization header is required"}
    assert current("sksndev") == before


def test_an_interrupted_deployment_changes_nothing(stack: Stack) -> None:
    """Ctrl-C stops the new container, which is no release to go back to, and the next deployment works."""
    before = current("sksndev")
    path, good = (
        "broker/web/endpoints/operations.py",
        broken(stack, "broker/web/endpoints/operations.py", '"/ready"', '"/x"'),
    )
    process = subprocess.Popen(
        ("deploy/stack", "deploy", "sksndev"),
        cwd=stack.folder,
        env=os.environ | {"COMPOSE_PROJECT_NAME": "gpt-broker-test"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    within(60, lambda: newest("sksndev") != before and inspect(newest("sksndev"), "{{.State.Running}}") == "true")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    mend(stack, path, good)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert current("sksndev") == before
    assert inspect(newest("sksndev"), "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}") == "false no"
    assert call(stack, "sksndev").status_code == 200


def newest(tenant: str) -> str:
    names = run(
        "docker", "ps", "--all", "--format", "{{.Names}}", "--filter", f"label=gpt-broker.tenant={tenant}"
    ).split()
    return max(names, key=lambda name: int(name.rpartition("-")[2]))


def test_of_two_deployments_at_once_one_is_refused(stack: Stack) -> None:
    """The other one completes. The lock ends with its holder, in every case."""
    environment = os.environ | {"COMPOSE_PROJECT_NAME": "gpt-broker-test"}
    both = [
        subprocess.Popen(
            ("deploy/stack", "deploy", "sksndev"), cwd=stack.folder, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], outputs
    assert sum("Another operation on sksndev is under way" in output for output in outputs) == 1
    assert "sksndev-gpt-broker-lock" not in containers()


def test_nothing_is_touched_while_redis_does_not_answer(stack: Stack) -> None:
    """A deployment checks its dependencies first."""
    before = current("sksndev")
    run("docker", "pause", "sksndev-redis-stack")
    output = stack.run("make", "deploy-sksndev", check=False)
    run("docker", "unpause", "sksndev-redis-stack")
    assert "its Redis is paused" in output
    assert current("sksndev") == before


def test_rollback_brings_the_settings_back(stack: Stack, remote: SshServer) -> None:
    """A wrong but valid setting is deployed; going back restores image and settings, from another machine too."""
    good, settings = current("sksndev"), (stack.folder / ".env.sksndev").read_text()
    stack.write_env("sksndev", DAILY_LIMIT="90001")
    stack.run("make", "deploy-sksndev")
    assert "q=90001;" in call(stack, "sksndev").headers["RateLimit-Policy"]
    commit = revision("sksndev")
    assert f"sksndev runs {commit} again" in stack.run("make", "rollback-sksndev", environment=remote.environment())
    assert "q=100000;" in call(stack, "sksndev").headers["RateLimit-Policy"]
    assert "changed since the start" in stack.run("make", "doctor", "TENANT=sksndev", check=False)
    (stack.folder / ".env.sksndev").write_text(settings)
    assert inspect(current("sksndev"), "{{.Image}}") == inspect(good, "{{.Image}}")


def test_rollback_to_one_of_the_last_five_commits(stack: Stack) -> None:
    """Failed releases are not among them. Older images and settings are removed."""
    releases = run(
        "docker", "image", "ls", "--filter", "reference=gpt-broker:sksndev-*", "--format", "{{.Tag}}"
    ).split()
    assert len(releases) == 5
    volumes = run(
        "docker", "volume", "ls", "--filter", "label=gpt-broker.settings=gpt-broker-test-sksndev", "--quiet"
    ).split()
    assert len(volumes) <= 6
    tag = min(releases, key=lambda release: int(release.rpartition("-")[2]))
    commit = run("docker", "image", "inspect", "--format", LABEL, f"gpt-broker:{tag}").strip()
    assert commit != revision("sksndev")
    assert f"sksndev runs {commit} again" in stack.run("make", "rollback-sksndev", environment={"TO": commit})
    assert "has no such release" in stack.run("make", "rollback-sksndev", check=False, environment={"TO": "ffffff"})


LABEL = '{{index .Config.Labels "org.opencontainers.image.revision"}}'
