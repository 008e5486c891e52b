"""Checks of the deployment files that need no container engine: linters and consistency of settings."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.errors.base import BodyTooLarge, WorkerStopping
from broker.errors.request import HeadTooLarge, TargetTooLong
from broker.settings.settings import Settings
from tests.apps import REQUIRED

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
TENANTS = {"sksndev": ("8011", "8013"), "techsksn": ("8023", "8024")}
SCRIPTS = (
    "both_up",
    "both_down",
    "deploy/stack",
    "deploy/nginx/render",
    "tests/containers/run",
    "tests/containers/engine",
    ".ci/run",
)
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose.yaml").read_text()
    return dict(yaml.safe_load(text))


@pytest.mark.parametrize(
    "command", [("hadolint", "deploy/Dockerfile"), ("yamllint", "--strict", "deploy")], ids=lambda command: command[0]
)
def test_the_linters_find_nothing(command: tuple[str, ...]) -> None:
    """The Dockerfile and all YAML files pass their linters."""
    done = subprocess.run((BIN / command[0], *command[1:]), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_can_be_run(script: str) -> None:
    """They are executable and parse as bash."""
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(("bash", "-n", ROOT / script), check=True)


@pytest.mark.parametrize("tenant", TENANTS)
def test_names_and_ports_are_the_contract_s(compose: dict[str, Any], tenant: str) -> None:
    """Published on loopback unless told otherwise; each broker reaches its own Redis as `redis-stack`."""
    broker, store = compose["services"][tenant], compose["services"][f"{tenant}-redis"]
    port, redis_port = TENANTS[tenant]
    assert broker["container_name"] == f"{tenant}-gpt-broker"
    assert store["container_name"] == f"{tenant}-redis-stack"
    assert broker["ports"] == [f"${{ADDRESS:-127.0.0.1}}:${{{tenant.upper()}_PORT:-{port}}}:8011"]
    assert store["ports"] == [f"127.0.0.1:${{{tenant.upper()}_REDIS_PORT:-{redis_port}}}:6379"]
    assert broker["networks"] == [tenant]
    assert store["networks"] == {tenant: {"aliases": ["redis-stack"]}}
    assert broker["profiles"] == store["profiles"] == [tenant]


def test_every_container_may_do_little(compose: dict[str, Any]) -> None:
    """A read-only root, no capability, no new privileges, bounded logs."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name


def test_the_engine_waits_longer_than_a_stream_may_last(compose: dict[str, Any]) -> None:
    """Whatever GRACEFUL_TIMEOUT an operator chooses within a call's longest time, no stream is cut by force."""
    settings = Settings.from_environ(REQUIRED)
    for tenant in TENANTS:
        grace = int(compose["services"][tenant]["stop_grace_period"].removesuffix("s"))
        assert grace > settings.openai_call_timeout > settings.graceful_timeout


def test_nginx_s_limits_exceed_the_broker_s() -> None:
    """Body size and read timeout exceed the broker's limits; nginx closes idle connections before the broker does."""
    template = (DEPLOY / "nginx" / "tenant.template").read_text()
    settings = Settings.from_environ(REQUIRED)
    value = {line.split()[0]: line.split()[1].rstrip(";") for line in template.splitlines() if len(line.split()) > 1}
    assert int(value["client_max_body_size"].removesuffix("m")) * 2**20 > settings.max_body_bytes
    assert int(value["proxy_read_timeout"].removesuffix("s")) > settings.openai_call_timeout
    assert int(value["keepalive_timeout"].removesuffix("s")) < 75  # gunicorn.conf.py's keepalive


def test_nginx_uses_the_broker_s_error_sentences() -> None:
    """An error reads the same whether nginx or the broker generates it."""
    shared = (DEPLOY / "nginx" / "shared.template").read_text()
    for fault in (BodyTooLarge, TargetTooLong, HeadTooLarge, WorkerStopping):
        assert f'  {fault.code} "{fault.sentence}";\n' in shared


def test_no_env_file_gets_into_an_image() -> None:
    """`.dockerignore` excludes everything except named files."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert all(line.startswith(("!", "**/")) for line in lines[1:])
    assert not any("env" in line for line in lines)


def test_render_refuses_missing_files_and_example_names(tmp_path: Path) -> None:
    """It prints its usage or names the variable."""
    render = DEPLOY / "nginx" / "render"
    for arguments, said in (
        ((), "usage: deploy/nginx/render"),
        ((DEPLOY / "nginx" / "example.env",), "SKSNDEV_HOST must be the public name"),
    ):
        done = subprocess.run((render, *arguments), capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert said in done.stderr
