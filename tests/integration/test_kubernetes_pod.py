"""A pod of the chart, run here as its manifest specifies: command, environment, port, probes, end."""

import os
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import User, settings_for
from tests.integration.kubernetes_pod import Pod, Release
from tests.integration.own_network import in_own_network
from tests.integration.redis_process import RedisProcess
from tests.unit.deploy.test_kubernetes_chart import of_kind

# names this pod and one that does not answer, and writes down what would be annotated
KUBECTL = r"""#!/bin/sh
case "$1 $2" in
  "get pods") printf 'gone 192.0.2.1\nonly 127.0.0.1\n' ;;
  "annotate --overwrite") echo "$3 $4" >>"$ANNOTATED" ;;
esac
"""
# the image's, which is busybox's
WGET = r"""#!/bin/sh
exec python3 -c "import sys, urllib.request as u; print(u.urlopen(sys.argv[-1], timeout=3).read().decode())" "$@"
"""


class Stack:
    """A pod with its own Redis, OpenAI and Supabase, in the network of the calling thread."""

    def __init__(self, folder: Path) -> None:
        self.redis = RedisProcess(folder)
        self.openai, self.supabase = OpenAIStandIn(), SupabaseStandIn(alg="ES256")
        self.openai.start_in_thread()
        self.supabase.start_in_thread()
        given = settings_for(self.openai, self.supabase, self.redis.url)
        self.release = Release(given, drainDelay=1, workers=2, settings={"GRACEFUL_TIMEOUT": 20})
        self.pod = Pod(self.release, folder / "output")

    def user(self) -> User:
        user_id = str(uuid.uuid4())
        return User(user_id, self.pod.url, self.supabase.token_for(user_id))

    def stop(self) -> None:
        self.pod.stop()
        self.openai.stop()
        self.supabase.stop()
        self.redis.stop()


def scenario(folder: Path) -> Iterator[tuple[str, object]]:
    """Return the observations of a pod, from its start to its end."""
    stack = Stack(folder)
    pod = stack.pod
    try:
        pod.wait_until_started()
        yield "probes", [pod.probe(name) for name in ("startup", "readiness", "liveness")]
        user = stack.user()
        yield "answer", user.post("/gpt-4o", {"messages": "hello"}).status_code
        stack.redis.freeze()
        yield "probes while Redis is away", [pod.probe("readiness"), pod.probe("liveness")]
        stack.redis.thaw()
        stack.openai.token_delay = 0.1
        with user.stream() as stream:
            pieces = stream.iter_content(None)
            first = next(pieces)
            yield "deletion cost", deletion_cost(stack.release, folder)
            pod.pre_stop()
            pod.terminate()
            whole = first + b"".join(pieces)
        yield "last stream", b'"error"' not in whole and whole.endswith(b"\n")
        yield "exit", pod.process.wait(20)
    finally:
        stack.stop()


def deletion_cost(release: Release, folder: Path) -> str:
    """Return what the CronJob's script annotates."""
    job = of_kind(release.objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    annotated = folder / "annotated"
    for name, text in (("kubectl", KUBECTL), ("wget", WGET)):
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
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
