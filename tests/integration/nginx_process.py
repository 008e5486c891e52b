"""A real nginx with deploy/nginx/nginx.conf and the output of deploy/nginx/render."""

import contextlib
import getpass
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse, HTTPSConnection
from pathlib import Path

from deploy.local.broker_process import ROOT, free_port

HOSTS = {"sksndev": "gpt.sksndev.test", "techsksn": "gpt.techsksn.test"}
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Answer:
    """A complete response."""

    status: int
    headers: HTTPMessage
    body: bytes

    def error(self) -> tuple[int, str, str | None]:
        """Status, code and Retry-After of an error in the contract's format; checks that any page can read it."""
        body = json.loads(self.body)
        assert body["error"]
        assert body["message"] is None
        return self.status, body["code"], self._retry_after()

    def openai_error(self) -> tuple[int, str, str, str | None]:
        """Status, type, code and Retry-After of an error in OpenAI's format; checks that any page can read it."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return self.status, error["type"], error["code"], self._retry_after()

    def _retry_after(self) -> str | None:
        assert self.headers.get_all("Content-Type") == ["application/json"]
        assert self.headers.get_all("Access-Control-Allow-Origin") == ["*"]
        exposed = (self.headers["Access-Control-Expose-Headers"] or "").lower().split(", ")
        for name in ("Retry-After", "X-Should-Retry"):
            assert name not in self.headers or name.lower() in exposed
        return self.headers["Retry-After"]


class NginxProcess:
    """One nginx on free ports. `changes` are (old, new) replacements in the rendered configuration."""

    def __init__(self, folder: Path, upstreams: dict[str, str], *changes: tuple[str, str], **variables: str) -> None:
        """`upstreams` maps each tenant to host:port; `variables` are those of deploy/nginx/example.env."""
        self.port, self.http_port = free_port(), free_port()
        self.folder = folder
        self.certificate = _certificate(folder)
        given = {f"{tenant.upper()}_HOST": host for tenant, host in HOSTS.items()}
        given |= {f"{tenant.upper()}_UPSTREAM": at for tenant, at in upstreams.items()}
        given |= {"HTTP_LISTEN": f"127.0.0.1:{self.http_port}", "HTTPS_LISTEN": f"127.0.0.1:{self.port}"}
        given |= {"CERTIFICATES": str(folder), "LOGS": str(folder), "METRICS_ALLOW": "127.0.0.1"} | variables
        (folder / "variables").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        self.config = _render(folder, changes)
        self._main = _main_file(folder, self.port, self.http_port)
        self._start()

    def _start(self) -> None:
        nginx = shutil.which("nginx", path=PATH)
        assert nginx, "nginx is missing: `make test` installs it"
        command = (nginx, "-p", str(self.folder), "-c", str(self._main), "-g", "daemon off;")
        with (self.folder / "output").open("w") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "output").read_text()
            time.sleep(0.02)
        raise AssertionError("nginx did not start")

    def logs(self) -> str:
        """All of its log files and output."""
        return "".join(path.read_text() for path in [*self.folder.glob("*.log"), self.folder / "output"])

    def connect(self, tenant: str = "sksndev", source: str = "127.0.0.1") -> HTTPSConnection:
        """Open a TLS connection from this loopback address."""
        connection = _ToLoopback(HOSTS[tenant], self.port, timeout=20, context=self.context())
        connection.source = source
        return connection

    def context(self) -> ssl.SSLContext:
        """A context that trusts the tests' certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def get(self, path: str, tenant: str = "sksndev", source: str = "127.0.0.1", **headers: str) -> Answer:
        """Send a GET; `_` in header names becomes `-`."""
        return self.request(
            "GET", path, {name.replace("_", "-"): value for name, value in headers.items()}, tenant, source
        )

    def request(
        self, method: str, path: str, headers: dict[str, str], tenant: str = "sksndev", source: str = "127.0.0.1",
        body: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """Send a request on a new connection."""
        with contextlib.closing(self.connect(tenant, source)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    @contextlib.contextmanager
    def stream(self, headers: dict[str, str]) -> Iterator[HTTPResponse]:
        """Open `/stream`; the body is unread."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("POST", "/stream", json.dumps({"messages": "hello", "model": "gpt-4o"}), headers)
            yield connection.getresponse()

    def stop(self) -> None:
        """Terminate it."""
        self.process.terminate()
        self.process.wait(10)


class _ToLoopback(HTTPSConnection):
    """Connects to loopback instead of resolving the tenants' host names."""

    source = "127.0.0.1"

    def connect(self) -> None:
        """Connect to this machine and start TLS."""
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout, (self.source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)  # type: ignore[attr-defined]


def _certificate(folder: Path, days: str = "90") -> Path:
    """Create a certificate for all names where the configuration expects it."""
    first = folder / HOSTS["sksndev"]
    first.mkdir()
    names = ",".join(f"DNS:{host}" for host in HOSTS.values())
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days,
         "-subj", "/CN=tests", "-addext", f"subjectAltName={names}",
         "-keyout", str(first / "privkey.pem"), "-out", str(first / "fullchain.pem")),
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copytree(first, folder / HOSTS["techsksn"])
    return first / "fullchain.pem"


def _render(folder: Path, changes: tuple[tuple[str, str], ...]) -> Path:
    command = (str(ROOT / "deploy/nginx/render"), str(folder / "variables"))
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    config = folder / "gpt-broker.conf"
    config.write_text(text)
    return config


def _main_file(folder: Path, port: int, http_port: int) -> Path:
    """Write deploy/nginx/nginx.conf with the paths and ports of a test."""
    text = (ROOT / "deploy/nginx/nginx.conf").read_text()
    for old, new in (
        ("/run/nginx.pid", f"{folder}/nginx.pid"),
        ("/var/log/nginx", str(folder)),
        ("/etc/nginx/conf.d/*.conf", f"{folder}/gpt-broker.conf"),
        ("    listen [::]:80 default_server;\n", ""),
        ("    listen [::]:443 ssl default_server;\n", ""),
        ("listen 80 ", f"listen 127.0.0.1:{http_port} "),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("user www-data;", f"user {getpass.getuser()};"),  # must be able to read the tests' folder
        ("worker_processes auto", "worker_processes 1"),
        ("http {\n", "http {\n" + "".join(f"  {kind}_temp_path {folder};\n" for kind in ("client_body", "proxy"))),
    ):
        assert old in text, old
        text = text.replace(old, new)
    main = folder / "nginx.conf"
    main.write_text(text)
    return main
