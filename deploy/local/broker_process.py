"""The real broker as a process of its own: gunicorn with the project's configuration, in a clean environment."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app")


class DidNotStart(Exception):
    """The broker ended, or was not there in time; the message ends with what it said."""


_PORTS = range(10_100, 32_768)  # below those that the kernel gives to connections, above those that browsers refuse
_untried = iter(random.sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """A port of the loopback address that nobody listens on; within one process, never the same one twice.

    Nor will an outgoing connection take it: the kernel takes those ports from 32768 on (`ip_local_port_range`).
    """
    return next(filter(is_free, _untried))


def is_free(port: int) -> bool:
    """Whether nobody listens on this port, of whatever address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended are in no one's way
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


class BrokerProcess:
    """One broker, started at once; `wait_until` it answers, and `stop` it."""

    def __init__(self, environ: dict[str, str], port: int | None = None) -> None:
        """`environ`: the settings; of this process's environment only what a program needs to run is passed on."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open for as long as the process
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            GUNICORN,
            cwd=ROOT,
            env={"ENV_FILE": os.devnull, **kept, **environ, "PORT": str(self.port)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until(self, path: str = "/health", seconds: float = 20.0) -> None:
        """Return once `path` answers 200. Raises `DidNotStart`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if requests.get(self.url + path, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise DidNotStart(f"the broker does not answer {path}; it said:\n{self.log()[-3000:]}")

    def log(self) -> str:
        """All that it has written so far."""
        if not self._log.closed:
            self._log.seek(0)
            self._said = self._log.read()
        return self._said

    def journal(self, event: str = "request") -> list[dict[str, Any]]:
        """The log's lines of this event."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def end(self) -> int:
        """As `stop`, but at once: open calls are cut, and nothing is waited for; its exit status."""
        return self.stop(signal.SIGQUIT)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> int:
        """End it, by force if it must be, with all that it started; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()
        finally:
            self.log()
            self._log.close()
