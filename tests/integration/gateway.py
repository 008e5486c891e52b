"""nginx as an Ingress controller runs it: the directives of the chart's Ingress, and the pods that are ready."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.integration.nginx_process import PATH
from tests.integration.own_network import GATEWAY
from tests.integration.waiting import within

PREFIX = "nginx.ingress.kubernetes.io/"
OTHER_NAMES = {"proxy_body_size": "client_max_body_size"}  # all other annotations are named as their directives


class Gateway:
    """One nginx, reloaded whenever the pods change. Each old worker serves its connections to their end."""

    port = 8080
    place = f"{GATEWAY}:{port}"
    url = f"http://{place}"

    def __init__(self, folder: Path, annotations: Mapping[str, str]) -> None:
        """`annotations`: of the Ingress."""
        self._folder = folder
        names = {name: name.removeprefix(PREFIX).replace("-", "_") for name in annotations}
        self._directives = [f"{OTHER_NAMES.get(names[name], names[name])} {annotations[name]};" for name in names]
        self._process: subprocess.Popen[bytes] | None = None

    def route_to(self, places: Iterable[str]) -> None:
        """Send new requests to these pods."""
        config = self._folder / "nginx.conf"
        config.write_text(self._text(places))
        if self._process:
            before = self._workers()
            self._process.send_signal(signal.SIGHUP)
            within(10, lambda: self._workers() - before)
            time.sleep(0.2)  # the old worker stops to accept
            return
        nginx = shutil.which("nginx", path=PATH)
        assert nginx, "nginx is missing: `make test` installs it"
        self._process = subprocess.Popen((nginx, "-p", str(self._folder), "-c", str(config)), stdin=subprocess.DEVNULL)
        within(5, self._workers)

    def errors(self) -> str:
        """Return the error log."""
        return (self._folder / "error.log").read_text()

    def stop(self) -> None:
        """End it with all workers."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def _workers(self) -> set[str]:
        assert self._process is not None
        pid = self._process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def _text(self, places: Iterable[str]) -> str:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return f"""
            daemon off; user root; worker_processes 1; worker_rlimit_nofile 20000;
            pid {self._folder}/nginx.pid; error_log {self._folder}/error.log warn;
            events {{ worker_connections 19000; }}
            http {{
              access_log off;
              {"".join(f"{kind}_temp_path {self._folder};" for kind in kinds)}
              upstream pods {{ {"".join(f"server {place} max_fails=0;" for place in places)} keepalive 320; }}
              server {{
                listen {self.place} backlog=4096;
                {" ".join(self._directives)}
                proxy_set_header Connection "";
                proxy_set_header X-Forwarded-For $remote_addr;
                location / {{ proxy_pass http://pods; }}
              }}
            }}"""
