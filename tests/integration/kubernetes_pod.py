"""A rendered pod of the chart as local processes: command, environment, port, probes and end as its manifest says."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.kubernetes import settings_schema
from deploy.local.broker_process import ROOT
from tests.integration.own_network import Host
from tests.unit.deploy.test_kubernetes_chart import Object, broker_pod, of_kind, rendered

BIN = ROOT / ".venv" / "bin"
IMAGE_ENVIRONMENT = {"PATH": f"{BIN}:{os.environ['PATH']}", "REDIS_REQUIRED": "on"}  # as deploy/Dockerfile sets it


class Release:
    """The objects of a release, and the secret that they name."""

    def __init__(self, environ: Mapping[str, str], **values: Any) -> None:
        """`environ`: settings and secrets; `values`: of the chart."""
        plain = {name: value for name, value in environ.items() if name in settings_schema.names()}
        self.secret = {name: value for name, value in environ.items() if name not in plain}
        least = {"image": {"tag": "0123456789ab"}, "secrets": {"existing": "sksndev"}}
        self.objects = rendered(least | values | {"settings": plain | values.get("settings", {})})
        self.container: Object = broker_pod(self.objects)["containers"][0]

    def environment(self) -> dict[str, str]:
        """As the kubelet puts it together: `envFrom` in order, then `env`."""
        sources = {"configMapRef": of_kind(self.objects, "ConfigMap")["data"], "secretRef": self.secret}
        environment: dict[str, str] = {"ENV_FILE": os.devnull}
        for source in self.container["envFrom"]:
            environment |= sources[next(iter(source))]
        return environment | {one["name"]: one["value"] for one in self.container["env"]}


class Pod:
    """One pod, in the network of the calling thread or on a host of its own."""

    def __init__(self, release: Release, output: Path, host: Host | None = None) -> None:
        """Start its container, which writes to `output`."""
        self.host = host
        self.container = release.container
        address = host.address if host else "127.0.0.1"
        self.place = f"{address}:{self.container['ports'][0]['containerPort']}"
        self.url = f"http://{self.place}"
        environ = IMAGE_ENVIRONMENT | release.environment()
        if host:
            self.process = host.run(self.container["command"], environ, ROOT, output)
            return
        with output.open("wb") as log:
            self.process = subprocess.Popen(
                self.container["command"], cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
            )

    def probe(self, name: str) -> bool:
        """Whether a probe of the kubelet succeeds."""
        probe: dict[str, Any] = self.container[f"{name}Probe"]
        try:
            status = requests.get(self.url + probe["httpGet"]["path"], timeout=probe["timeoutSeconds"]).status_code
        except requests.RequestException:
            return False
        return 200 <= status < 400

    def wait_until_started(self) -> None:
        """Probe as often as the manifest allows; stop at the first success."""
        probe = self.container["startupProbe"]
        for _ in range(probe["failureThreshold"] * 10):
            if self.probe("startup"):
                return
            assert self.process.poll() is None, "the container has ended"
            time.sleep(probe["periodSeconds"] / 10)
        pytest.fail("the startup probe did not succeed")

    def pre_stop(self) -> None:
        """Wait as the manifest says between the removal from the endpoints and SIGTERM."""
        time.sleep(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill every process of the container at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Kill what still runs, and remove the host."""
        if self.process.poll() is None:
            self.kill()
        if self.host:
            self.host.stop()
