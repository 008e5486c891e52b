"""A server for unit tests that sends exactly the bytes a test gives it."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable


class ScriptedServer:
    """Answers each request with the next of `responses`; None closes the connection instead."""

    def __init__(self, responses: Iterable[bytes | None], tls: ssl.SSLContext | None = None) -> None:
        self._responses = iter(responses)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.received: list[bytes] = []
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
            self.received.append(data)
            response = next(self._responses, None)
            if response is None:
                return
            client.sendall(response)
