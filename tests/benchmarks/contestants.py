"""The programs that are compared. Each carries the same questions to the same stand-in, in its own form."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.broker_process import ROOT, BrokerProcess, free_port
from tests.benchmarks import payloads
from tests.benchmarks.payloads import MODEL, Plan
from tests.benchmarks.process_tree import ProcessTree

QUESTION = "Why does the sea come and go, and who signs for it?"
START_SECONDS = 120.0  # limit for a contestant's first answer


class DidNotStart(Exception):
    """A contestant did not answer in time."""


@dataclass(frozen=True)
class Origin:
    """The stand-in for OpenAI as a contestant reaches it. `authority`: the file of the authority to trust, over TLS."""

    port: int
    authority: str | None

    @property
    def url(self) -> str:
        """Without a path. The certificate names the address."""
        return f"{'https' if self.authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def trust(self) -> dict[str, str]:
        """The environment variables by which Python's programs trust the authority."""
        return {name: self.authority for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if self.authority}


class Contestant:
    """A program under test, started by the constructor. This class is the way straight to the stand-in."""

    name = "direct"
    call_path = stream_path = "/v1/chat/completions"
    keys: tuple[str, ...] = ("sk-benchmark",)
    counts = False  # counts calls in Redis

    def __init__(self, port: int, pid: int | None = None) -> None:
        self.port = port
        self.tree = ProcessTree(pid) if pid else None

    def calls(self) -> list[bytes]:
        """Return requests for a whole answer, one for each user."""
        body = {"messages": _messages(QUESTION), **self.model_of_calls()}
        return [payloads.post(self.call_path, body, key) for key in self.keys]

    def calls_with(self, messages: list[dict[str, Any]]) -> list[bytes]:
        """Requests for a whole answer to this conversation, one a user."""
        body = {"messages": messages, **self.model_of_calls()}
        return [payloads.post(self.call_path, body, key) for key in self.keys[:8]]

    def streams(self, plan: Plan) -> list[bytes]:
        """Return requests for a stream, one for each user."""
        body = {"messages": _messages(plan.prompt()), **self.model_of_streams()}
        return [payloads.post(self.stream_path, body, key) for key in self.keys]

    def model_of_calls(self) -> dict[str, Any]:
        """Return the fields of a call's body besides the messages."""
        return {"model": MODEL, "temperature": 0.7}

    def model_of_streams(self) -> dict[str, Any]:
        """Return the fields of a stream's body besides the messages."""
        return {"model": MODEL, "temperature": 0.7, "stream": True, "stream_options": {"include_usage": True}}

    def wait_until_it_answers(self) -> None:
        """Wait for the first answer. Raises `DidNotStart`."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._answers():
                return
            time.sleep(0.002)
        raise DidNotStart(self.name)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(self.calls()[0])
                return connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False

    def close(self) -> None:
        """End it."""


class Nginx(Contestant):
    """The floor: one worker, which passes everything on as it is."""

    name = "nginx"

    def __init__(self, folder: Path, origin: Origin) -> None:
        port = free_port()
        (folder / "nginx.conf").write_text(_nginx_settings(port, origin))
        command = ("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        super().__init__(port, self._process.pid)

    def close(self) -> None:
        """End it at once."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


class Broker(Contestant):
    """The broker as in production, with authentication, counting, metrics and log."""

    name = "broker"
    call_path = "/v2/advanced-gpt-4o-mini-complete"
    stream_path = "/stream"
    counts = True

    def __init__(self, settings: dict[str, str], keys: tuple[str, ...], workers: int = 1) -> None:
        """`keys`: access tokens of the calling users."""
        self.keys = keys
        self._process = BrokerProcess(settings | {"WEB_CONCURRENCY": str(workers)})
        super().__init__(self._process.port, self._process.process.pid)

    def model_of_calls(self) -> dict[str, Any]:
        """The path selects the model."""
        return {"temperature": 0.7}

    def model_of_streams(self) -> dict[str, Any]:
        """The path selects streaming."""
        return {"model": MODEL, "temperature": 0.7}

    def close(self) -> None:
        """End it at once: open streams are cut."""
        self._process.end()


class Plain(Broker):
    """The same kind of service without any optimization or error handling: `plain_app` on one worker."""

    name = "plain"
    counts = False  # its Redis is not measured

    def __init__(self, settings: dict[str, str], keys: tuple[str, ...]) -> None:
        self.keys = keys
        port = free_port()
        command = (sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", "--no-control-socket",
                   "--worker-connections", "10000", "--log-level", "critical",
                   "tests.benchmarks.plain_app:create_app()")  # fmt: skip
        environ = os.environ | settings
        self._gunicorn = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL)
        Contestant.__init__(self, port, self._gunicorn.pid)

    def close(self) -> None:
        """End it at once: open streams are cut."""
        self._gunicorn.send_signal(signal.SIGQUIT)
        self._gunicorn.wait()


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _nginx_settings(port: int, origin: Origin) -> str:
    trust = f"proxy_ssl_trusted_certificate {origin.authority}; proxy_ssl_verify on;" if origin.authority else ""
    return f"""
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_max_body_size 16m; client_body_buffer_size 16m;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 1000000000;
  upstream stand_in {{ server 127.0.0.1:{origin.port}; keepalive 10000; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass {origin.url.partition(":")[0]}://stand_in; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s; {trust} proxy_ssl_name localhost;
    }}
  }}
}}
"""
