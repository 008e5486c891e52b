"""A real redis-server of the tests' own, which can be taken away and brought back."""

import os
import signal
import subprocess
import time
from pathlib import Path

import redis

from deploy.local.broker_process import free_port


class RedisProcess:
    """One redis-server on a port of its own; with its append-only file, so that a restart forgets nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:@127.0.0.1:{self.port}"
        self.client = redis.Redis(port=self.port)
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and return once it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "")
        command = ("redis-server", *options, "--appendonly", "yes", "--appendfsync", "always")
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.client.ping()
            except redis.RedisError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("redis-server did not start")

    def freeze(self) -> None:
        """It accepts connections, and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on as if nothing had been."""
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it at once."""
        self.client.connection_pool.disconnect()
        self._process.kill()
        self._process.wait()
