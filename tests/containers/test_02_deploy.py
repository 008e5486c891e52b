"""Deployments under traffic: no call is lost, no stream is cut, and a bad commit is never in service.

deploy/README.md, section 6.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.containers.calls import brokers, call, commit_of, containers, releases, revision, send_signal
from tests.containers.conftest import ENVIRONMENT, TENANTS, Stack, current, inspect, run
from tests.containers.ssh_server import SshServer
from tests.containers.traffic import STREAMS, Traffic, traffic
from tests.integration.live_targets import resolve_here
from tests.integration.nginx_process import HOSTS, NginxProcess
from tests.integration.waiting import within

pytestmark = pytest.mark.usefixtures("started")

COUNT = itertools.count()
CRASHES = ("wsgi.py", "import", "raise SystemExit('planted')\nimport")
NEVER_READY = ("broker/web/endpoints/operations.py", '"/ready"', '"/readi"')
RUNNING = ("--filter", "status=running")


def commit_change(stack: Stack) -> str:
    (stack.folder / "broker" / "note.py").write_text(f'"""Change {next(COUNT)}."""\n')
    return stack.commit("a harmless change")


def test_a_deployment_under_traffic_loses_nothing(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 2,000 calls and of 20 open streams each, on the broker's port and through nginx, none fails.

    Meanwhile, a release is deployed, a commit that crashes is tried, the release before is brought back, and one more
    is deployed. The crash is named, the last lines of its log are shown, and all of the log stays.
    """
    nginx = NginxProcess(
        tmp_path, {tenant: f"127.0.0.1:{port}" for tenant, port in stack.ports.items()}, RATE="10000", BURST="10000"
    )
    resolve_here(monkeypatch)
    token = stack.supabase["sksndev"].token("linus@example.com")
    direct = Traffic(stack.url("sksndev"), token, rate=30)
    public = Traffic(f"https://{HOSTS['sksndev']}:{nginx.port}", token, rate=30, verify=str(nginx.certificate))
    before = revision("sksndev")
    with stack.slow_streams(0.2), traffic(direct, public):
        first = commit_change(stack)
        assert f"sksndev runs {first}" in stack.run("make", "deploy-sksndev")
        with stack.harmful_commit(*CRASHES):
            output = stack.run("make", "deploy-sksndev", check=False)
        for words in ("ends right after its start", "\nplanted\n", f"({first}) serves as before", "Error 1"):
            assert words in output
        assert f"sksndev runs {before}" in stack.run("make", "rollback-sksndev")
        assert revision("sksndev") == before
        assert f"sksndev runs {stack.head()}" in stack.run("make", "deploy-sksndev")
        within(120, lambda: direct.calls + public.calls > 2000)
    nginx.stop()
    assert min(direct.streams, public.streams) > STREAMS
    assert max(direct.gaps, public.gaps) < 3
    failed = output.partition("make logs-sksndev RELEASE=")[2].partition(")")[0]
    assert "planted" in stack.run("make", "logs-sksndev", environment={"RELEASE": failed})


def test_an_old_release_drains_until_its_last_answer_ends(stack: Stack) -> None:
    """A stream that outlives the deployment ends whole; then the old container stops by itself. Its log stays."""
    with stack.slow_streams(2), stack.without_account("sksndev"):
        response, old = call(stack, "sksndev", path="/stream", stream=True), current("sksndev")
        first = response.raw.read1(1000)
        stack.run("make", "deploy-sksndev")
        assert current("sksndev") != old
        assert f"release {old.rpartition('-')[2]} drains: 1 open calls" in stack.run("make", "status")
        time.sleep(4)  # longer than the 3 s without calls after which a release ends: `make status` only looks
        assert inspect(old, "{{.State.Status}}") == "running"
        assert '"Handling signal: term"' not in run("docker", "logs", old)
    text = "".join(json.loads(line)["data"] for line in (first + response.raw.read()).splitlines())
    assert text == stack.openai.answer
    within(20, lambda: inspect(old, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0")
    assert '"event": "request"' in stack.run("make", "logs-sksndev", environment={"RELEASE": old.rpartition("-")[2]})


def test_an_answer_may_outlive_its_release_for_a_limited_time(stack: Stack) -> None:
    """After DRAIN_TIMEOUT the old release stops, and open streams end with an error line."""
    with stack.slow_streams(2), stack.without_account("sksndev"):
        response, old = call(stack, "sksndev", path="/stream", stream=True), current("sksndev")
        first = response.raw.read1(1000)
        stack.run("make", "deploy-sksndev", environment={"DRAIN_TIMEOUT": "1"})
        lines = (first + response.raw.read()).splitlines()
    assert json.loads(lines[-1])["error"]
    assert all("data" in json.loads(line) for line in lines[:-1])
    within(20, lambda: inspect(old, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0")


def test_a_remote_host_that_does_not_answer_is_named_with_the_reason(stack: Stack, remote: SshServer) -> None:
    """The reason is ssh's own message. HOST without ssh:// is read as ssh."""
    output = stack.run("make", "status", check=False, environment=remote.environment())
    assert f"No Docker engine answers at {remote.url}" in output
    assert "Host key verification failed" in output
    short = remote.environment() | {"HOST": remote.url.removeprefix("ssh://")}
    assert f"No Docker engine answers at {remote.url}" in stack.run("make", "status", check=False, environment=short)


def test_a_deployment_over_ssh_excludes_others_and_uncommitted_files(stack: Stack, remote: SshServer) -> None:
    """The image has this commit only, and passes the live suite's quick part, signed in.

    A second deployment at the same time, from another machine, is refused. The first one completes.
    """
    commit = commit_change(stack)
    untracked = stack.folder / "broker" / "untracked.py"
    untracked.write_text("X = 1\n")
    remote.be_known()
    with ThreadPoolExecutor(1) as other:
        deployment = other.submit(stack.run, "make", "deploy-sksndev", environment=remote.environment())
        within(60, lambda: "sksndev-gpt-broker-lock" in containers(*RUNNING))
        refused = stack.run("make", "deploy-sksndev", check=False)
        output = deployment.result()
    untracked.unlink()
    assert "Another operation on sksndev is under way (by " in refused
    assert "Error 1" in refused
    for words in ("Not committed, so not in the image:", "broker/untracked.py", "a stream streams"):
        assert words in output
    assert f"sksndev runs {commit}" in output
    assert revision("sksndev") == commit
    assert revision("techsksn") != commit
    assert "untracked" not in run("docker", "exec", current("sksndev"), "ls", "broker")
    assert "sksndev-gpt-broker-lock" not in containers()
    assert remote.sessions() > 10  # nothing went another way


def test_a_commit_that_is_never_ready_is_never_in_service(stack: Stack) -> None:
    """The previous release stays in service, and the command fails."""
    before = current("sksndev")
    with stack.harmful_commit(*NEVER_READY):
        output = stack.run("make", "deploy-sksndev", check=False, environment={"READY_WITHIN": "4"})
    assert "is not ready after 4 s" in output
    assert "serves as before" in output
    assert "Error 1" in output
    assert current("sksndev") == before
    assert call(stack, "sksndev").status_code == 200


def test_a_commit_that_breaks_the_contract_is_never_in_service(stack: Stack) -> None:
    """It starts and is ready, but the live checks fail before any user is affected."""
    before, sentence = current("sksndev"), "Authorization header is required"
    seen: set[str] = set()
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            seen.add(requests.post(stack.url("sksndev") + "/gpt-4o", timeout=5).json()["error"])

    watcher = threading.Thread(target=watch)
    with stack.harmful_commit("broker/errors/base.py", sentence, "Who are you?"):
        watcher.start()
        output = stack.run("make", "deploy-sksndev", check=False)
        stopped.set()
        watcher.join()
    assert "WRONG" in output
    assert seen == {sentence}
    assert current("sksndev") == before


def test_an_interrupted_deployment_changes_nothing(stack: Stack) -> None:
    """Ctrl-C stops the new container, which is no release to go back to."""
    before, known = current("sksndev"), releases("sksndev")
    with stack.harmful_commit(*NEVER_READY), control_c():
        process = subprocess.Popen(
            ("deploy/stack", "deploy", "sksndev"), cwd=stack.folder, env=os.environ | ENVIRONMENT, text=True,
            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        within(60, lambda: (brokers("sksndev", *RUNNING) or [before])[0] != before)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert current("sksndev") == before
    assert releases("sksndev") == known
    assert inspect(brokers("sksndev")[0], "{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}") == "false no"
    assert "sksndev-gpt-broker-lock" not in containers()
    assert call(stack, "sksndev").status_code == 200


@contextlib.contextmanager
def control_c() -> Iterator[None]:
    """Let programs that start in the block get SIGINT. A program in the background ignores it, and so would they."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "message"), [(signal.SIGSTOP, "does not answer"), (None, "its Redis is paused")])
def test_nothing_is_touched_while_redis_does_not_answer(stack: Stack, number: int | None, message: str) -> None:
    """A deployment checks its dependencies first. Redis hangs, or is paused."""
    before, redis = containers(), "sksndev-redis-stack"
    if number:
        send_signal(redis, number)
    else:
        run("docker", "pause", redis)
    output = stack.run("make", "deploy-sksndev", check=False)
    if number:
        send_signal(redis, signal.SIGCONT)
    else:
        run("docker", "unpause", redis)
    assert message in output
    assert "Nothing was touched" in output
    assert containers() == before
    within(20, lambda: call(stack, "sksndev").status_code == 200)


def test_rollback_brings_the_settings_back(stack: Stack) -> None:
    """A wrong but valid setting is deployed. A rollback restores image and settings.

    The containers of older releases are removed, and their logs stay.
    """
    good, commit = current("sksndev"), revision("sksndev")
    with stack.changed_settings("sksndev", DAILY_LIMIT="90001"):
        stack.run("make", "deploy-sksndev")
        assert "q=90001;" in call(stack, "sksndev").headers["RateLimit-Policy"]
        assert f"sksndev runs {commit} again" in stack.run("make", "rollback-sksndev")
        assert "q=100000;" in call(stack, "sksndev").headers["RateLimit-Policy"]
        assert "changed since the start" in stack.run("make", "doctor", "TENANT=sksndev", check=False)
    assert inspect(current("sksndev"), "{{.Image}}") == inspect(good, "{{.Image}}")
    assert "sksndev-gpt-broker-1" not in containers()
    assert '"event": "request"' in stack.run("make", "logs-sksndev", environment={"RELEASE": "1"})
    output = stack.run("make", "logs-sksndev", check=False, environment={"RELEASE": "99"})
    assert "There is no log of release 99" in output


def test_rollback_to_one_of_the_last_five_commits(stack: Stack) -> None:
    """Failed releases are not among them. Older images are removed, and settings that no container needs."""
    kept = releases("sksndev")
    assert len(kept) == 5
    label = "label=gpt-broker.settings=gpt-broker-test-sksndev"
    volumes = run("docker", "volume", "ls", "--filter", label, "--quiet").split()
    needed = {name.rpartition("-")[2] for name in [*kept, *brokers("sksndev")]}
    assert {name.rpartition("-")[2] for name in volumes} == needed
    assert len(needed) <= 10
    commit = commit_of(kept[-1])
    assert commit != revision("sksndev")
    assert f"sksndev runs {commit} again" in stack.run("make", "rollback-sksndev", environment={"TO": commit})
    assert "has no such release" in stack.run("make", "rollback-sksndev", check=False, environment={"TO": "ffffff"})
    assert len(releases("sksndev")) == 5
    images = run("docker", "image", "ls", "--filter", "reference=gpt-broker", "--format", "{{.Tag}} {{.ID}}").split(
        "\n"
    )
    names = dict(line.split() for line in images if line)
    used = {names[image.partition(":")[2]] for tenant in TENANTS for image in releases(tenant)}
    used |= {inspect(name, "{{.Image}}")[7:19] for tenant in TENANTS for name in brokers(tenant)}
    assert set(names.values()) == used
