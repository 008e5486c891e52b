"""The network relay of the tests."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.network_path import NetworkPath


@pytest.fixture
def path() -> Iterator[NetworkPath]:
    """A way to a server that echoes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(sock,), daemon=True).start()

    def echo(sock: socket.socket) -> None:
        while data := sock.recv(65_536):
            sock.sendall(data)
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    path = NetworkPath(listener.getsockname()[1])
    yield path
    path.close()
    listener.close()


def connect(path: NetworkPath) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", path.port), timeout=0.5)
    sock.sendall(b"a")
    assert sock.recv(1) == b"a"
    return sock


def test_it_delays(path: NetworkPath) -> None:
    path.delay = 0.05
    began = time.monotonic()
    connect(path).close()
    assert time.monotonic() - began >= 0.1


def test_it_throttles(path: NetworkPath) -> None:
    with connect(path) as sock:
        path.bytes_per_second = 100_000
        began = time.monotonic()
        sock.sendall(b"x" * 20_000)
        received = 0
        while received < 20_000:
            received += len(sock.recv(65_536))
    assert time.monotonic() - began > 0.15


def test_it_forgets_open_connections_silently(path: NetworkPath) -> None:
    with connect(path) as sock:
        path.forget()
        sock.sendall(b"b")
        with pytest.raises(TimeoutError):
            sock.recv(1)
        connect(path).close()


def test_it_drops_everything(path: NetworkPath) -> None:
    with connect(path) as sock:
        path.is_dropping = True
        sock.sendall(b"b")
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_it_cuts(path: NetworkPath) -> None:
    with connect(path) as sock:
        path.cut()
        assert sock.recv(1) == b""


def test_it_answers_garbage(path: NetworkPath) -> None:
    path.garbage = b"\0garbage"
    with socket.create_connection(("127.0.0.1", path.port), timeout=0.5) as sock:
        assert sock.recv(100) == b"\0garbage"
