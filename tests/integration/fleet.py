"""Eight pods of one release behind a gateway, each in a network namespace, with one Redis Cluster and one OpenAI."""

import concurrent.futures
import json
import math
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.authority import Authority
from deploy.local.broker_process import ROOT
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import User, settings_for
from tests.integration.gateway import Gateway
from tests.integration.kubernetes_pod import Pod, Release
from tests.integration.own_network import GATEWAY, Host, add_bridge
from tests.integration.redis_drills import SixNodeCluster
from tests.integration.redis_flavours import Flavour
from tests.unit.deploy.test_kubernetes_chart import of_kind

PODS = 8
NOTICED_AFTER = 0.5  # seconds from a pod's end until the gateway knows of it; `drainDelay` is longer
PATIENT = {  # with eight brokers on two cores, nothing is quick
    "OPENAI_CONNECT_TIMEOUT": 20,
    "REDIS_CONNECT_TIMEOUT": 5,
    "REDIS_TIMEOUT": 5,
    "GRACEFUL_TIMEOUT": 600,
}


class Fleet:
    """Everything, in the network of the calling thread, which must be new."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """`settings`: of the release, besides those that reach the stand-ins."""
        add_bridge()
        self._folder = folder
        for name in ("authority", "redis", "nginx"):
            (folder / name).mkdir()
        own = Authority(folder / "authority", GATEWAY)
        self.redis = SixNodeCluster(folder / "redis", Flavour("redis", lines=("appendfsync everysec",)), GATEWAY)
        self.openai, self.supabase = OpenAIStandIn(), SupabaseStandIn(alg="ES256")
        self.openai.tls = own.server_context()
        for stand_in in (self.openai, self.supabase):
            stand_in.host = GATEWAY
            stand_in.start_in_thread()
        environ = settings_for(self.openai, self.supabase, self.redis.url) | {"SSL_CERT_FILE": own.file}
        values = {"workers": 1, "drainDelay": 2, "ingress": {"enabled": True}, "host": "gpt.example.com"}
        self.release = Release(environ, settings=PATIENT | settings, **values)
        self.gateway = Gateway(folder / "nginx", of_kind(self.release.objects, "Ingress")["metadata"]["annotations"])
        self._clients: list[subprocess.Popen[str]] = []
        self.pods: list[Pod] = []
        self.ended: list[Pod] = []  # got SIGTERM or SIGKILL; some still serve their last streams
        self._add(PODS)

    def user(self, **claims: Any) -> User:
        """A new user, who calls through the gateway."""
        user_id = str(uuid.uuid4())
        return User(user_id, self.gateway.url, self.supabase.token_for(user_id, **claims))

    def streams(self, users: Sequence[User], number: int, per_second: float) -> subprocess.Popen[str]:
        """Clients in a process of their own: see `open_streams`."""
        job = {"host": GATEWAY, "port": self.gateway.port, "streams": number, "per_second": per_second, "waiting": 40}
        clients = subprocess.Popen(
            (sys.executable, "-m", "tests.integration.open_streams"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert clients.stdin is not None
        clients.stdin.write(json.dumps(job | {"tokens": [user.token for user in users]}))
        clients.stdin.close()
        clients.stdin = None  # `communicate` would flush it
        self._clients.append(clients)
        return clients

    def lose_node(self, number: int) -> list[Pod]:
        """Kill so many brokers at once, as the failure of their node does. The gateway forgets them."""
        lost, self.pods = self.pods[:number], self.pods[number:]
        self.ended += lost
        for pod in lost:
            pod.kill()
        self._route()
        return lost

    def replace_lost(self) -> None:
        """Start pods like the ReplicaSet, until there are eight again."""
        self._add(PODS - len(self.pods))

    def roll(self) -> None:
        """A rolling update by the chart's strategy: maxSurge pods become ready, then as many old ones end.

        The pause of `minReadySeconds` is left out.
        """
        strategy = of_kind(self.release.objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]
        assert strategy["maxUnavailable"] == 0
        surge = math.ceil(int(strategy["maxSurge"].removesuffix("%")) / 100 * PODS)
        old = list(self.pods)
        for first in range(0, PODS, surge):
            self._add(surge)
            self._end(old[first : first + surge])

    def stop(self) -> None:
        """Stop everything."""
        for clients in self._clients:
            clients.kill()
            clients.communicate()
        for pod in [*self.pods, *self.ended]:
            pod.stop()
        self.gateway.stop()
        self.openai.stop()
        self.supabase.stop()
        self.redis.stop()

    def _add(self, number: int) -> None:
        names = [len(self.pods) + len(self.ended) + one for one in range(number)]
        new = [Pod(self.release, self._folder / f"pod{name}.log", Host(name)) for name in names]
        self.pods += new
        for pod in new:
            pod.wait_until_started()
        self._route()

    def _end(self, pods: Sequence[Pod]) -> None:
        """End pods as the kubelet does, while the gateway learns it."""
        self.pods = [pod for pod in self.pods if pod not in pods]
        self.ended += pods
        with concurrent.futures.ThreadPoolExecutor(len(pods)) as pool:
            ends = [pool.submit(_end, pod) for pod in pods]
            time.sleep(NOTICED_AFTER)
            self._route()
            for end in ends:
                end.result()

    def _route(self) -> None:
        self.gateway.route_to(pod.place for pod in self.pods)


def _end(pod: Pod) -> None:
    pod.pre_stop()
    pod.terminate()
