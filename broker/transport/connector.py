"""Opens connections to one server: name look-up, proxy, TLS, keep-alive probes.

Uses gevent's own sockets, which need no monkey patching. Each wait suspends one greenlet only.
"""

import base64
import contextlib
import errno
import re
import time
from select import POLLIN
from typing import Any
from urllib.parse import unquote, urlsplit

import certifi
import gevent
from gevent import monkey, socket
from gevent.ssl import PROTOCOL_TLS_CLIENT, SSLContext, SSLWantReadError, TLSVersion

from broker.transport.lookups import resolve
from broker.transport.options import Options

SESSION_AGE = 600.0  # seconds after which a newer TLS session is remembered
ADDRESS_AGE = 1.0  # seconds for which the result of a look-up serves further connections: a burst shares one
MAX_PROXY_HEAD = 16_384  # bytes
# a peer that vanished (NAT, load balancer) is detected within 20 + 3 * 10 seconds
KEEPALIVE = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
_poll = monkey.get_original("select", "poll")  # gevent's would run other greenlets
_CONNECTED = re.compile(rb"HTTP/1\.[01] 200\b")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


class Connector:
    """Build it before the fork: its TLS context holds the certificates of all authorities, which workers then share."""

    def __init__(self, url: str, options: Options) -> None:
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if is_tls else 80)
        self._context: SSLContext | None = _tls_context(options) if is_tls else None
        self._proxy = urlsplit(options.proxy) if options.proxy and is_tls else None
        self._session: Any = None
        self._session_until = 0.0
        self._addresses: list[Any] = []
        self._addresses_until = 0.0

    def open(self, seconds: float) -> Any:
        """Open a connection; `seconds` bound everything from the name look-up to the TLS handshake.

        Raises TimeoutError, or another OSError (`broker.errors.network` names its kind).
        """
        ends_at = time.monotonic() + seconds
        addresses = self._look_up(seconds)
        rest = max(0.001, ends_at - time.monotonic())
        with gevent.Timeout(rest, TimeoutError(errno.ETIMEDOUT, "connecting took too long")):
            sock = self._connect(addresses, ends_at)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in KEEPALIVE:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
                sock.settimeout(None)
                if self._proxy:
                    self._tunnel(sock)
                if self._context:
                    return self._context.wrap_socket(sock, server_hostname=self._host, session=self._session)
            except BaseException:
                sock.close()
                raise
            return sock

    def remember_session(self, sock: Any) -> None:
        """Keep the TLS session of a connection that has been used; new connections resume it (RFC 8446, 2.2)."""
        if self._context and time.monotonic() > self._session_until:
            session = sock.session
            if session is not None and session.has_ticket:
                self._session, self._session_until = session, time.monotonic() + SESSION_AGE

    def _look_up(self, seconds: float) -> list[Any]:
        """The addresses of the server, or of the proxy that leads to it. Connections of one second share a look-up."""
        if time.monotonic() > self._addresses_until:
            host, port = self._host, self._port
            if self._proxy:
                host, port = self._proxy.hostname or "", self._proxy.port or 80
            self._addresses = resolve(host, port, seconds)
            self._addresses_until = time.monotonic() + ADDRESS_AGE
        return self._addresses

    def _connect(self, addresses: list[Any], ends_at: float) -> Any:
        try:
            return _connect(addresses, ends_at)
        except BaseException:
            self._addresses_until = 0.0  # the server may have moved
            raise

    def _tunnel(self, sock: Any) -> None:
        """Ask the proxy for a tunnel (RFC 9110, 9.3.6)."""
        to = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
        if self._proxy and self._proxy.username:
            login = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}")
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < MAX_PROXY_HEAD:
            data = sock.recv(4096)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the connection")
            head += data
        if not _CONNECTED.match(head):
            status = _STATUS.match(head)
            raise OSError(errno.EPROTO, f"the proxy answered {status[1].decode() if status else 'no HTTP'}")


def _connect(addresses: list[Any], ends_at: float) -> Any:
    """Connect to the first address that answers. Each address gets an equal share of the time that is left."""
    for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.001, (ends_at - time.monotonic()) / (len(addresses) - number + 1)))
            sock.connect(address)
            return sock
        except BaseException as error:
            sock.close()
            if number == len(addresses) or not isinstance(error, OSError):
                raise
    raise AssertionError  # getaddrinfo raises where it finds nothing


def is_alive(sock: Any) -> bool:
    """Whether an idle connection is open and the peer has sent no data.

    Reads from it if it is readable: TLS 1.3 servers send session tickets, which are no data. A read that finds nothing
    costs four times as much as the poll.
    """
    if sock.fileno() < 0:
        return False
    poll = _poll()
    poll.register(sock.fileno(), POLLIN)
    if not poll.poll(0):
        return True
    sock.settimeout(0)
    with contextlib.suppress(OSError):
        try:
            sock.recv(1)
        except (BlockingIOError, SSLWantReadError):
            return True
    return False


def _tls_context(options: Options) -> SSLContext:
    context = SSLContext(PROTOCOL_TLS_CLIENT)  # verifies the certificate and the host name
    context.minimum_version = TLSVersion.TLSv1_2
    context.load_verify_locations(options.ca_file or certifi.where())
    return context
