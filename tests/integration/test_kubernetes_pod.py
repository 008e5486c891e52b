"""A pod of the chart, run here as its manifest specifies: command, environment, port, probes, end."""

import os
import stat
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.kubernetes import settings_schema
from deploy.local.broker_process import ROOT
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import User, settings_for
from tests.integration.own_network import in_own_network
from tests.integration.redis_process import RedisProcess
from tests.unit.deploy.test_kubernetes_chart import Object, broker_pod, of_kind, rendered

BIN = ROOT / ".venv" / "bin"
IMAGE_ENVIRONMENT = {"PATH": f"{BIN}:{os.environ['PATH']}", "REDIS_REQUIRED": "on"}  # as deploy/Dockerfile sets it
# speaks to the pod as the API server does, and writes down what would be annotated
KUBECTL = r"""#!/bin/sh
case "$1 $2" in
  "get pods") echo pod/only ;;
  "get --raw") exec python3 -c "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())" \
    "http://127.0.0.1:8011/${3##*/proxy/}" ;;
  "annotate --overwrite") echo "$3 $4" >>"$ANNOTATED" ;;
esac
"""


class Pod:
    """A rendered pod as local processes, in the network of the calling thread."""

    def __init__(self, folder: Path) -> None:
        self.redis = RedisProcess(folder)
        self.openai, self.supabase = OpenAIStandIn(), SupabaseStandIn(alg="ES256")
        self.openai.start_in_thread()
        self.supabase.start_in_thread()
        given = settings_for(self.openai, self.supabase, self.redis.url)
        plain = {name: value for name, value in given.items() if name in settings_schema.names()}
        values = {"image": {"tag": "0123456789ab"}, "secrets": {"existing": "sksndev"}, "drainDelay": 1}
        self.objects = rendered(values | {"settings": plain | {"GRACEFUL_TIMEOUT": 20}, "workers": 2})
        self.container: Object = broker_pod(self.objects)["containers"][0]
        secret = {name: value for name, value in given.items() if name not in plain}
        self.process = subprocess.Popen(
            self.container["command"],
            cwd=ROOT,
            env=IMAGE_ENVIRONMENT | self._environment(secret),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{self.container['ports'][0]['containerPort']}"

    def _environment(self, secret: dict[str, str]) -> dict[str, str]:
        """Build the environment like the kubelet: `envFrom` in order, then `env`."""
        sources = {"configMapRef": of_kind(self.objects, "ConfigMap")["data"], "secretRef": secret}
        environment: dict[str, str] = {"ENV_FILE": os.devnull}
        for source in self.container["envFrom"]:
            environment |= sources[next(iter(source))]
        return environment | {one["name"]: one["value"] for one in self.container["env"]}

    def probe(self, name: str) -> bool:
        """Return the result that the kubelet would get."""
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
            time.sleep(probe["periodSeconds"] / 10)
        pytest.fail("the startup probe did not succeed")

    def user(self) -> User:
        user_id = str(uuid.uuid4())
        return User(user_id, self.url, self.supabase.token_for(user_id))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.openai.stop()
        self.supabase.stop()
        self.redis.stop()


def scenario(folder: Path) -> Iterator[tuple[str, object]]:
    """Return the observations of a pod, from its start to its end."""
    pod = Pod(folder)
    try:
        pod.wait_until_started()
        yield "probes", [pod.probe(name) for name in ("startup", "readiness", "liveness")]
        user = pod.user()
        yield "answer", user.post("/gpt-4o", {"messages": "hello"}).status_code
        pod.redis.freeze()
        yield "probes while Redis is away", [pod.probe("readiness"), pod.probe("liveness")]
        pod.redis.thaw()
        pod.openai.token_delay = 0.1
        with user.stream() as stream:
            pieces = stream.iter_content(None)
            first = next(pieces)
            yield "deletion cost", deletion_cost(pod, folder)
            time.sleep(pod.container["lifecycle"]["preStop"]["sleep"]["seconds"])
            pod.process.terminate()
            whole = first + b"".join(pieces)
        yield "last stream", b'"error"' not in whole and whole.endswith(b"\n")
        yield "exit", pod.process.wait(20)
    finally:
        pod.stop()


def deletion_cost(pod: Pod, folder: Path) -> str:
    """Return the annotation of the CronJob's script."""
    job = of_kind(pod.objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    kubectl, annotated = folder / "kubectl", folder / "annotated"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
    environment = {one["name"]: one["value"] for one in job["env"]}
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "ANNOTATED": str(annotated)}
    subprocess.run(job["command"], check=True, env=environment, timeout=20)
    return annotated.read_text().strip()


def test_a_rendered_pod_runs_as_its_manifest_says(tmp_path: Path) -> None:
    """It starts, passes its probes, answers, stays ready without Redis, reports its streams, and ends without a cut."""
    assert in_own_network(lambda: list(scenario(tmp_path))) == [
        ("probes", [True, True, True]),
        ("answer", 200),
        ("probes while Redis is away", [True, True]),
        ("deletion cost", "pod/only controller.kubernetes.io/pod-deletion-cost=1"),
        ("last stream", True),
        ("exit", 0),
    ]
