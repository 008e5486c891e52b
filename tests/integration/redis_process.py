"""A redis-server process that tests can stop, freeze and restart."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.broker_process import free_port
from tests.integration.redis_flavours import PLAIN, Flavour


class RedisProcess:
    """One redis-server on its own port, with an append-only file so that data survives a restart."""

    more: tuple[str, ...] = ()
    persistence = 'save ""\nappendonly yes\nappendfsync always\nrepl-diskless-sync-delay 0\n'

    def __init__(self, folder: Path, flavour: Flavour = PLAIN, host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.host = host
        self.flavour = flavour
        self.connection: dict[str, Any] = flavour.connection()
        self.url = f"redis://:@{host}:{self.port}"
        self._folder = folder
        self.prepare(folder)
        at_once = Retry(NoBackoff(), 1)
        self.client = redis.Redis(host=host, port=self.port, retry=at_once, **self.connection)
        self.start()

    def prepare(self, folder: Path) -> None:
        """Hook that runs before the first start."""

    def start(self) -> None:
        """Start the server and wait until it answers."""
        config = self._folder / "redis.conf"
        text = f"bind {self.host}\ndir {self._folder}\n{self.persistence}{self.listen()}\n"
        config.write_text(text)
        command = (self.flavour.program, str(config), *self.more)
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.client.ping()
            except redis.RedisError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"{self.flavour.program} did not start")

    def listen(self) -> str:
        """The configuration lines for the port, encryption and accounts."""
        return self.flavour.configuration(self.port)

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    def freeze(self) -> None:
        """Suspend the process: it accepts connections and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process."""
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Kill the process."""
        self.client.connection_pool.disconnect()
        self._process.kill()
        self._process.wait()


class TLSRedis(RedisProcess):
    """A Redis that accepts TLS only, with a self-signed certificate."""

    def prepare(self, folder: Path) -> None:
        """Create the certificate."""
        self._certificate, self._key = folder / "redis.crt", folder / "redis.key"
        command = (
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "1", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(self._key), "-out", str(self._certificate),
        )  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        self.connection = {"ssl": True, "ssl_ca_certs": str(self._certificate)}
        self.url = f"rediss://:@127.0.0.1:{self.port}?ssl_ca_certs={self._certificate}"

    def listen(self) -> str:
        """Listen with TLS only."""
        files = f"tls-cert-file {self._certificate}\ntls-key-file {self._key}\ntls-auth-clients no"
        return f"port 0\ntls-port {self.port}\n{files}"


class RedisCluster(RedisProcess):
    """A cluster with one node that holds every slot."""

    def prepare(self, folder: Path) -> None:
        """Set the cluster bus port. The default, port + 10,000, may be invalid."""
        self.more = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))

    def start(self) -> None:
        """Start the node and assign all slots to it."""
        super().start()
        self.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        for _ in range(200):
            if self.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok":
                return
            time.sleep(0.05)
        raise RuntimeError("the cluster did not come up")


class RedisSentinel(RedisProcess):
    """A Sentinel that monitors one master."""

    more = ("--sentinel",)
    persistence = ""

    def watch(self, master: RedisProcess, name: str) -> None:
        """Monitor `master` under `name`."""
        self.client.execute_command("SENTINEL", "MONITOR", name, "127.0.0.1", master.port, 1)
