"""Opening connections: time limits, proxies, keep-alive probes."""

import base64
import socket
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket

from broker.errors.network import kind_of, words_of
from broker.settings.settings import Settings
from broker.transport import lookups
from broker.transport.connector import Connector, is_alive
from broker.transport.options import Options
from deploy.local.authority import Authority
from tests.apps import REQUIRED
from tests.network_path import NetworkPath
from tests.servers import ScriptedServer


@pytest.fixture
def proxy() -> Iterator[NetworkPath]:
    path = NetworkPath(0, is_proxy=True)
    yield path
    path.close()


def test_a_slow_name_look_up_is_within_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_: gevent.sleep(5))
    began = time.monotonic()
    with pytest.raises(socket.gaierror) as slow:
        Connector("https://openai.test", Options()).open(0.2)
    assert (kind_of(slow.value), words_of(slow.value)) == ("dns", "the name look-up timed out")
    assert time.monotonic() - began < 1


def test_a_server_that_does_not_finish_the_handshake_is_within_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        Connector(f"https://localhost:{silent.getsockname()[1]}", Options()).open(0.2)


def test_each_address_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that drops packets leaves time for the next one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dropped = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737)
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())
        monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_: [dropped, good])
        sock = Connector("http://openai.test", Options()).open(1.0)
        assert sock.getpeername() == server.getsockname()
        sock.close()


def test_a_burst_of_connections_shares_a_look_up_until_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    look_ups: list[object] = []
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    def getaddrinfo(*asked: object) -> list[Any]:
        look_ups.append(asked)
        return addresses

    monkeypatch.setattr(gevent_socket, "getaddrinfo", getaddrinfo)
    connector = Connector("http://openai.test", Options())
    with socket.create_server(("127.0.0.1", 0)) as server:
        addresses[0] = (*addresses[0][:4], server.getsockname())
        for _ in range(3):
            connector.open(5).close()
        assert len(look_ups) == 1
    with pytest.raises(ConnectionRefusedError):
        connector.open(5)
    with pytest.raises(ConnectionRefusedError):
        connector.open(5)
    assert len(look_ups) == 2


def test_a_connection_is_alive_until_either_side_closes_it() -> None:
    """A closed socket has no descriptor to poll: the check of the idle connections failed on it."""
    ours, theirs = gevent_socket.socketpair()
    assert is_alive(ours)
    theirs.close()
    assert not is_alive(ours)
    ours.close()
    assert not is_alive(ours)


def test_a_connection_probes_its_peer() -> None:
    """A connection that the network has dropped is detected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = Connector(f"http://localhost:{server.getsockname()[1]}", Options()).open(5)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 30
        sock.close()


@pytest.mark.parametrize("error", ["refused", "dns", "tls", "certificate"])
def test_a_failure_has_its_kind(error: str, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plain, other = ScriptedServer([b"no TLS"]), ScriptedServer([], authority.server_context())
    plain.speaks_first = True
    url = {
        "refused": f"https://127.0.0.1:{port}",
        "dns": "https://openai.invalid",
        "tls": f"https://localhost:{plain.port}",
        "certificate": f"https://localhost:{other.port}",
    }[error]
    with pytest.raises(OSError) as failed:  # noqa: PT011 - the kind is the point
        Connector(url, Options()).open(5)
    assert kind_of(failed.value) == error
    assert words_of(failed.value)
    plain.close()
    other.close()


def test_a_proxy_opens_a_tunnel(authority: Authority, proxy: NetworkPath) -> None:
    """TLS passes through it end to end."""
    server = ScriptedServer([b"hi"], authority.server_context())
    options = Options(ca_file=authority.file, proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}")
    sock = Connector(f"https://localhost:{server.port}", options).open(5)
    sock.sendall(b"hello")
    assert sock.recv(10) == b"hi"
    sock.close()
    server.close()
    head = proxy.connects[0]
    assert head.startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n".encode())
    assert b"Basic " + base64.b64encode(b"user:p@ss") in head


def test_a_proxy_that_refuses_is_named() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        client, _ = listener.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        client.close()

    Thread(target=refuse, daemon=True).start()
    options = Options(proxy=f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(OSError, match="407") as refused:
        Connector("https://openai.test", options).open(5)
    assert words_of(refused.value) == "the proxy answered 407"
    listener.close()


@pytest.mark.parametrize(
    ("no_proxy", "uses_proxy"),
    [("", True), ("example.com", True), ("openai.test", False), (".test", False), ("*", False)],
)
def test_no_proxy_names_hosts_that_are_reached_directly(no_proxy: str, uses_proxy: bool) -> None:
    environ: Any = {"OPENAI_BASE_URL": "https://api.openai.test/v1", "HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    options = Options.of(Settings.from_environ(REQUIRED | environ), environ["OPENAI_BASE_URL"])
    assert options.proxy == ("http://p:1" if uses_proxy else None)


@pytest.mark.parametrize("name", ["a" * 70 + ".example", "..example"])
def test_a_name_that_cannot_be_encoded_is_not_found(name: str) -> None:
    with pytest.raises(socket.gaierror):
        lookups.resolve(name, 443, 5)
