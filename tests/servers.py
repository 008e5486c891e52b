"""Servers and sockets for unit tests that send exactly the bytes a test gives them."""

import contextlib
import socket
import ssl
import threading
import time
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
        self.reads_on = True  # False: nothing is read after the first response of a connection
        self.delay = 0.0  # seconds before each read
        self.speaks_first = False
        self.closes = False  # True: each connection ends with its first response
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Accept no new connections. `shutdown` wakes the thread that waits for one; `close` alone would not."""
        with contextlib.suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve_one, args=(sock,), daemon=True).start()

    def _serve_one(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), self._wrapped(sock) as client:
            self._talk(client)

    def _wrapped(self, sock: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(sock, server_side=True) if self._tls else sock

    def _talk(self, client: socket.socket) -> None:
        if self.speaks_first:
            client.sendall(next(self._responses, None) or b"")
        while data := client.recv(65_536):
            self.received.append(data)
            response = next(self._responses, None)
            if response is None:
                return
            client.sendall(response)
            if self.closes:
                if isinstance(client, ssl.SSLSocket):
                    client.unwrap()  # without it, the end of the body would be a cut
                return
            if not self.reads_on:
                threading.Event().wait(3)
            time.sleep(self.delay)


class FakeSocket:
    """The receiving half of a TLS socket: returns `pieces` one by one, then b"" as a closed connection does."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.is_closed = False

    def pending(self) -> int:
        return 1

    def recv(self, _: int) -> bytes:
        return next(filter(None, self._pieces), b"")

    def close(self) -> None:
        self.is_closed = True
