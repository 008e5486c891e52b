"""The real broker as a child process: gunicorn with the project's configuration in a clean environment."""

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
    """The broker exited or did not answer in time; the message ends with its output."""


_PORTS = range(10_100, 32_768)  # below the kernel's ephemeral ports, above those that browsers block
_untried = iter(random.sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """A free loopback port. Never returns the same port twice within a process.

    Outgoing connections cannot take it either: their ports start at 32768 (`ip_local_port_range`).
    """
    return next(filter(is_free, _untried))


def is_free(port: int) -> bool:
    """Whether no process listens on this port on any address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


class BrokerProcess:
    """One broker. The constructor starts it; call `wait_until`, and `stop` at the end."""

    def __init__(self, environ: dict[str, str], port: int | None = None) -> None:
        """`environ`: the settings. Of this process's own environment only PATH, HOME, LANG and TMPDIR are passed on."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process runs
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
        """Wait until `path` answers 200. Raises `DidNotStart` after `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if requests.get(self.url + path, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise DidNotStart(f"the broker does not answer {path}; its output:\n{self.log()[-3000:]}")

    def log(self) -> str:
        """The output so far."""
        if not self._log.closed:
            self._log.seek(0)
            self._output = self._log.read()
        return self._output

    def log_lines(self, event: str = "request") -> list[dict[str, Any]]:
        """The log lines with this event."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def end(self) -> int:
        """Stop at once: open calls are cut. Returns the exit status."""
        return self.stop(signal.SIGQUIT)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Send signal `number`; after `seconds` kill the whole process group. Returns the exit status."""
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
