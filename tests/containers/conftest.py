"""Fixtures: the whole stack in containers, from a copy of the project, with stand-ins for OpenAI and Supabase."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from deploy.local.broker_process import free_port
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.containers.ssh_server import SshServer

ROOT = Path(__file__).parents[2]
TENANTS = ("sksndev", "techsksn")
ENVIRONMENT = {"COMPOSE_PROJECT_NAME": "gpt-broker-test"}
PACE = 0.01  # seconds between two tokens of a stream; the live checks want to see some time pass


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command and return its output. A status other than 0 fails the test unless `check` is false."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | (env or {}), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=300, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def current(tenant: str) -> str:
    """The name of the container that serves: the newest release that passed its checks."""
    tags = run("docker", "image", "ls", "--filter", f"reference=gpt-broker:{tenant}-*", "--format", "{{.Tag}}").split()
    return f"{tenant}-gpt-broker-{max(int(tag.rpartition('-')[2]) for tag in tags)}"


def inspect(container: str, template: str) -> str:
    """Inspect a container with a Go template."""
    return run("docker", "container", "inspect", "--format", template, container).strip()


@dataclass
class Stack:
    """A copy of the project and the ports of its tenants."""

    folder: Path
    openai: OpenAIStandIn
    supabase: dict[str, SupabaseStandIn]
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in TENANTS})
    redis_ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in TENANTS})

    def run(self, *command: str, check: bool = True, environment: dict[str, str] | None = None) -> str:
        """Run a command in the project's folder, as the operator does."""
        return run(*command, cwd=self.folder, env=ENVIRONMENT | (environment or {}), check=check)

    def url(self, tenant: str) -> str:
        """The URL of the tenant's published port."""
        return f"http://127.0.0.1:{self.ports[tenant]}"

    def redis(self, tenant: str) -> "redis.Redis":
        """A client of the tenant's Redis."""
        return redis.Redis(port=self.redis_ports[tenant])

    def kept_logs(self, tenant: str) -> list[str]:
        """The files in the tenant's log volume: the logs of removed containers."""
        volume = f"{ENVIRONMENT['COMPOSE_PROJECT_NAME']}_{tenant}-logs:/logs:ro"
        return run("docker", "run", "--rm", "--volume", volume, "--entrypoint=ls", "redis:8-alpine", "/logs").split()

    def write_env(self, tenant: str, **changes: str) -> None:
        """Write the tenant's env file: the contract's first six settings and the stand-ins' URLs."""
        settings = {
            "OPENAI_API_KEY": self.openai.key,
            "SUPABASE_URL": self.supabase[tenant].url,
            "SUPABASE_SERVICE_KEY": self.supabase[tenant].service_key,
            "REDIS_URL": "redis://:@redis-stack:6379",
            "DAILY_LIMIT": "100000",
            "ID_WHITE_LIST": "[]",
            "OPENAI_BASE_URL": self.openai.url + "/v1",
            "MODELS": '{"gpt-4o": "gpt-6-luna", "gpt-4o-mini": {"model": "gpt-6-luna", "reasoning_effort": "none"}}',
            "WEB_CONCURRENCY": "2",
            "GRACEFUL_TIMEOUT": "15",
            "REDIS_TIMEOUT": "3",  # on a busy machine, an answer may take longer than the default's half a second
            "REDIS_CONNECT_TIMEOUT": "3",
        } | changes
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.folder / f".env.{tenant}").write_text(text)

    def write_target(self, target: str, base_url: str) -> None:
        """Write an env file of the live suite."""
        supabase = self.supabase[target.removesuffix("_prod")]
        (self.folder / "tests" / "live" / f".env.{target}").write_text(
            f"BASE_URL={base_url}\nSUPABASE_URL={supabase.url}\nSUPABASE_ANON_KEY={supabase.anon_key}\n"
            f"SUPABASE_EMAIL=grace@example.com\nSUPABASE_PASSWORD={PASSWORD}\n"
        )

    def write_tenants(self) -> None:
        """Write deploy/tenants with the ports of these tests."""
        lines = [f"{name} {self.ports[name]} {self.redis_ports[name]}\n" for name in self.ports]
        (self.folder / "deploy" / "tenants").write_text("".join(lines))

    @contextlib.contextmanager
    def slow_streams(self, pause: float) -> Iterator[None]:
        """During the block, OpenAI pauses this many seconds after each token."""
        self.openai.token_delay = pause
        try:
            yield
        finally:
            self.openai.token_delay = PACE

    @contextlib.contextmanager
    def without_account(self, tenant: str) -> Iterator[None]:
        """During the block, the live checks have no account, so they read no stream."""
        (self.folder / "tests" / "live" / f".env.{tenant}").unlink()
        try:
            yield
        finally:
            self.write_target(tenant, self.url(tenant))

    @contextlib.contextmanager
    def changed_settings(self, tenant: str, **changes: str) -> Iterator[None]:
        """During the block, the tenant's env file has these settings."""
        file = self.folder / f".env.{tenant}"
        before = file.read_text()
        self.write_env(tenant, **changes)
        try:
            yield
        finally:
            file.write_text(before)

    @contextlib.contextmanager
    def reloaded_settings(self, tenant: str, **changes: str) -> Iterator[None]:
        """During the block, the tenant runs with these settings."""
        try:
            with self.changed_settings(tenant, **changes):
                self.run("make", "reload", f"TENANT={tenant}")
                yield
        finally:
            self.run("make", "reload", f"TENANT={tenant}")

    @contextlib.contextmanager
    def harmful_commit(self, path: str, old: str, new: str) -> Iterator[None]:
        """During the block, the newest commit breaks the broker. Afterwards, the next one mends it."""
        file = self.folder / path
        good = file.read_text()
        assert old in good
        file.write_text(good.replace(old, new, 1))
        self.commit("a harmful change")
        try:
            yield
        finally:
            file.write_text(good)
            self.commit("mended")

    def commit(self, why: str) -> str:
        """Commit all changes in the copy; returns the image's tag."""
        git = ("git", "-c", "user.name=Operator", "-c", "user.email=operator@example.com")
        run(*git, "add", "--all", cwd=self.folder)
        run(*git, "commit", "--quiet", "--message", why, cwd=self.folder)
        return self.head()

    def head(self) -> str:
        """The image's tag for the current commit."""
        return run("git", "rev-parse", "--short=12", "HEAD", cwd=self.folder).strip()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, not started. Everything that tests start is removed at the end, with its volumes."""
    names = run("docker", "ps", "--all", "--format", "{{.Names}}").split()
    taken = sorted(name for name in names if name.startswith(tuple(f"{tenant}-" for tenant in TENANTS)))
    assert not taken, f"{taken} exist already: these tests would replace them"
    gateway = json.loads(run("docker", "network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    openai, supabases = OpenAIStandIn(), {tenant: SupabaseStandIn(alg="ES256") for tenant in TENANTS}
    openai.token_delay = PACE
    for stand_in in (openai, *supabases.values()):
        stand_in.host = gateway  # this machine's address in containers
        stand_in.start_in_thread()
    made = Stack(copy_of_the_project(tmp_path_factory.mktemp("project")), openai, supabases)
    made.write_tenants()
    made.commit("as it is")
    yield made
    remove_everything()
    for stand_in in (openai, *supabases.values()):
        stand_in.stop()


@pytest.fixture(scope="session")
def started(stack: Stack) -> Stack:
    """Both tenants run, with accounts for the live checks. The tests of a start leave them so."""
    if not run("docker", "ps", "--quiet", "--filter", "name=sksndev-proxy"):
        for tenant in TENANTS:
            stack.write_env(tenant)
            stack.write_target(tenant, stack.url(tenant))
        stack.run("./both_up")
    return stack


def remove_everything() -> None:
    """Remove the containers, networks, volumes and images of these tests."""
    ours = ("--filter", "label=gpt-broker.project=gpt-broker-test")
    names = run("docker", "ps", "--all", "--format", "{{.Names}}").split()
    tenants = tuple(f"{tenant}-" for tenant in (*TENANTS, "third"))
    containers = [name for name in names if name.startswith((*tenants, "gpt-broker-test"))]
    run("docker", "rm", "--force", "--volumes", *containers, check=False)
    run("docker", "network", "rm", *run("docker", "network", "ls", "--quiet", *ours).split(), check=False)
    run("docker", "volume", "rm", "--force", *run("docker", "volume", "ls", "--quiet", *ours).split(), check=False)
    images = run("docker", "image", "ls", "--filter", "reference=gpt-broker", "--format", "{{.Repository}}:{{.Tag}}")
    run("docker", "image", "rm", "--force", "redis:next", *images.split(), check=False)


@pytest.fixture(scope="session")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd in front of these tests' engine, for HOST=ssh://…"""
    with contextlib.closing(SshServer(tmp_path_factory.mktemp("ssh"))) as server:
        yield server


def copy_of_the_project(folder: Path) -> Path:
    """Copy the files that git tracks or would add into a new repository; env files of this machine are left out."""
    listing = run("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run("git", "init", "--quiet", cwd=folder)
    return folder
