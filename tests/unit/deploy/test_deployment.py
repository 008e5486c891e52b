"""Checks of the deployment files that need no container engine: linters and consistency of settings."""

import os
import shutil
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
    "deploy/install-packages",
    "deploy/kubernetes/release",
    "deploy/nginx/render",
    "tests/containers/run",
    "tests/containers/engine",
    ".ci/run",
    ".ci/containers",
)
SOURCED = sorted(path.relative_to(ROOT).as_posix() for path in (DEPLOY / "scripts").glob("*.sh"))
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module", params=["compose.yaml", "monitoring.yaml"])
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / request.param).read_text())["services"])


@pytest.fixture(scope="module")
def tenant_services() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"])


@pytest.mark.parametrize(
    "command", [("hadolint", "deploy/Dockerfile"), ("yamllint", "--strict", "deploy")], ids=lambda command: command[0]
)
def test_the_linters_find_nothing(command: tuple[str, ...]) -> None:
    """The Dockerfile and all YAML files pass their linters."""
    done = subprocess.run((BIN / command[0], *command[1:]), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_can_be_run(script: str) -> None:
    """Scripts are executable and parse as bash."""
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(("bash", "-n", ROOT / script), check=True)


def test_names_and_ports_are_the_contract_s(tenant_services: dict[str, Any]) -> None:
    """Ports are published on loopback by default. Brokers reach their own Redis as `redis-stack`."""
    rows = [line.split() for line in (DEPLOY / "tenants").read_text().splitlines() if not line.startswith("#")]
    assert {name: tuple(ports) for name, *ports in rows} == TENANTS
    assert tenant_services["proxy"]["ports"] == ["${ADDRESS:-127.0.0.1}:${BROKER_PORT:-8011}:8011"]
    assert tenant_services["redis"]["ports"] == ["127.0.0.1:${REDIS_PORT:-8013}:6379"]
    assert tenant_services["redis"]["networks"] == {"tenant": {"aliases": ["redis-stack"]}}
    assert tenant_services["broker"]["networks"] == ["tenant"]
    assert "ports" not in tenant_services["broker"]


def test_every_container_has_few_privileges(services: dict[str, Any]) -> None:
    """A read-only root, no capability, no new privileges, bounded logs."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name


def test_no_setting_is_in_a_container_s_environment(tenant_services: dict[str, Any]) -> None:
    """`docker inspect` shows the environment, so settings and secrets are files."""
    assert set(tenant_services["broker"]["environment"]) == {"ENV_FILE", "PORT"}
    assert not any("env_file" in service for service in tenant_services.values())


def test_the_engine_waits_longer_than_a_call_may_last(tenant_services: dict[str, Any]) -> None:
    """No stream is killed, whichever GRACEFUL_TIMEOUT up to a call's longest duration an operator chooses."""
    settings = Settings.from_environ(REQUIRED)
    grace = int(tenant_services["broker"]["stop_grace_period"].removesuffix("s"))
    assert grace > max(600, settings.openai_call_timeout) > settings.graceful_timeout


def directives(text: str) -> dict[str, str]:
    return {line.split()[0]: line.split()[1].rstrip(";") for line in text.splitlines() if len(line.split()) > 1}


def test_the_tenant_s_proxy_waits_as_long_and_keeps_no_connection() -> None:
    """Without idle connections, neither a reload of nginx nor the stop of a broker can lose a request."""
    value = directives((DEPLOY / "nginx" / "proxy.template").read_text())
    assert int(value["proxy_read_timeout"].removesuffix("s")) > max(
        600, Settings.from_environ(REQUIRED).openai_call_timeout
    )
    assert value["keepalive_timeout"] == "0"
    assert "keepalive" not in value


def test_nginx_s_limits_exceed_the_broker_s() -> None:
    """Body size and read timeout exceed the broker's limits; nginx closes idle connections before the broker does."""
    template = (DEPLOY / "nginx" / "tenant.template").read_text()
    settings = Settings.from_environ(REQUIRED)
    value = directives(template)
    assert int(value["client_max_body_size"].removesuffix("m")) * 2**20 > settings.max_body_bytes
    assert int(value["proxy_read_timeout"].removesuffix("s")) > settings.openai_call_timeout
    assert int(value["keepalive_timeout"].removesuffix("s")) < 75  # gunicorn.conf.py's keepalive


def test_nginx_uses_the_broker_s_error_sentences() -> None:
    """An error reads the same whether nginx or the broker generates it."""
    shared = (DEPLOY / "nginx" / "errors.template").read_text()
    for fault in (BodyTooLarge, TargetTooLong, HeadTooLarge, WorkerStopping):
        assert f'  {fault.code} "{fault.sentence}";\n' in shared


def test_no_env_file_gets_into_an_image() -> None:
    """`.dockerignore` excludes everything except named files."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert all(line.startswith(("!", "**/")) for line in lines[1:])
    assert not any("env" in line for line in lines)


def render(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = (str(DEPLOY / "nginx" / "render"), *map(str, arguments))
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environ)


def test_render_refuses_missing_files_and_example_names() -> None:
    """It prints its usage or names the variable."""
    assert "usage: deploy/nginx/render" in render().stderr
    done = render(DEPLOY / "nginx" / "example.env")
    assert (done.returncode, done.stdout) == (1, "")
    assert "SKSNDEV_HOST must be the public name" in done.stderr


def test_the_last_line_of_a_file_may_have_no_newline(tmp_path: Path) -> None:
    """The last tenant and the last variable count like the others."""
    shutil.copytree(DEPLOY / "nginx", tmp_path / "nginx")
    (tmp_path / "tenants").write_text("sksndev 8011 8013\nthird 8033 8034")
    variables = tmp_path / ".env.nginx"
    variables.write_text("SKSNDEV_HOST=a.test\nTHIRD_HOST=c.test\nRATE=30")
    done = subprocess.run((tmp_path / "nginx" / "render", variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "server_name c.test;" in done.stdout
    assert "rate=30r/s" in done.stdout
    (tmp_path / "deploy").mkdir()
    shutil.copy(tmp_path / "tenants", tmp_path / "deploy")
    words = f". {DEPLOY}/scripts/tenants.sh; read_tenants; echo ${{tenants[*]}} ${{redis_port[third]}}"
    listed = subprocess.run(("bash", "-euc", words), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert listed.stdout == "sksndev third 8034\n", listed.stderr


def test_render_replaces_the_file_only_by_a_complete_one(tmp_path: Path) -> None:
    """A misspelt variable, or a configuration that nginx refuses, leaves the old file; CRLF is understood."""
    variables, output = tmp_path / ".env.nginx", tmp_path / "gpt-broker.conf"
    good = "SKSNDEV_HOST=gpt.sksndev.test\r\nTECHSKSN_HOST=gpt.techsksn.test\r\n"
    variables.write_text(good)
    variables.chmod(0o644)
    done = render(variables, output, NGINX_TEST="")
    assert done.returncode == 0, done.stderr
    assert "was accessible to every user" in done.stderr
    assert variables.stat().st_mode & 0o777 == 0o640
    first = output.read_text()
    assert "server_name gpt.sksndev.test;" in first
    assert "\r" not in first
    variables.write_text(good + "RATES=30\n")
    assert "RATES is unknown" in render(variables, output, NGINX_TEST="").stderr
    variables.write_text(good + "RATE=30\n")
    done = render(variables, output, NGINX_TEST="sh -c 'exit'1")
    assert done.returncode == 1
    assert "nginx refuses the new configuration" in done.stderr
    assert output.read_text() == first
    assert render(variables, output, NGINX_TEST="").returncode == 0
    assert "rate=30r/s" in output.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env.nginx", "gpt-broker.conf"]


@pytest.mark.parametrize("script", SOURCED)
def test_the_sourced_scripts_parse(script: str) -> None:
    """Bash can read them, and none exceeds the size of a module."""
    subprocess.run(("bash", "-n", ROOT / script), check=True)
    assert len((ROOT / script).read_text().splitlines()) <= 200
