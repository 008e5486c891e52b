"""Servers for unit tests that say exactly the bytes that a test gives them, then what the next connection gets."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable


class SayingServer:
    """Answers each request on a connection with the next of its sayings, and hangs up where a saying is None."""

    def __init__(self, sayings: Iterable[bytes | None], tls: ssl.SSLContext | None = None) -> None:
        self._sayings = iter(sayings)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                with contextlib.suppress(OSError), self._wrapped(sock) as client:
                    self._talk(client)

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock

    def _talk(self, client: socket.socket) -> None:
        while data := client.recv(65_536):
            self.heard.append(data)
            saying = next(self._sayings, None)
            if saying is None:
                return
            client.sendall(saying)
