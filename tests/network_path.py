"""A TCP relay that simulates network faults between two programs of a test.

It may be between the broker and OpenAI, Supabase or Redis, or between a client and the broker.
"""

import contextlib
import socket
import threading
import time

BUFFER = 65_536


class NetworkPath:
    """Forwards connections to a port on loopback. All attributes may change while it runs.

    `delay` (seconds) applies to each packet in each direction, `bytes_per_second` to each connection and direction once
    it has passed `throttle_from` bytes.
    """

    def __init__(self, to_port: int, *, is_proxy: bool = False) -> None:
        """`is_proxy`: act as an HTTP proxy that takes CONNECT; the port of each request replaces `to_port`."""
        self.delay = 0.0
        self.bytes_per_second: float | None = None
        self.throttle_from = 0
        self.garbage: bytes | None = None  # sent to the client of each new connection in place of the server's bytes
        self.is_dropping = False  # no packet passes, new connections included
        self.connects: list[bytes] = []  # the heads of CONNECT requests
        self.to_port = to_port
        self._is_proxy = is_proxy
        self._open: set[socket.socket] = set()
        self._forgotten: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> int:
        """Drop all further packets of the open connections silently, like a NAT after a time-out. New ones work.

        Returns how many connections are forgotten by it.
        """
        new = set(self._open) - self._forgotten
        self._forgotten |= new
        return len(new)

    def cut(self) -> None:
        """Close all open connections."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no new connections. Open ones stay until a peer closes them."""
        with contextlib.suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self.garbage is not None:
                client.sendall(self.garbage)
            port = self._read_connect(client) if self._is_proxy else self.to_port
            server = socket.create_connection(("127.0.0.1", port))
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        threading.Thread(target=self._forward, args=(server, client), daemon=True).start()
        self._forward(client, server)

    def _read_connect(self, client: socket.socket) -> int:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = client.recv(BUFFER)
            if not data:
                raise ConnectionResetError
            head += data
        self.connects.append(head)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return int(head.split(b" ")[1].rpartition(b":")[2])

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(BUFFER if self.bytes_per_second is None else 4096):
                passed += len(data)
                time.sleep(self.delay)
                if self.bytes_per_second is not None and passed > self.throttle_from:
                    time.sleep(len(data) / self.bytes_per_second)
                if not self.is_dropping and source not in self._forgotten:
                    target.sendall(data)
        if source in self._forgotten:
            source.close()  # the other side gets no FIN
            return
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)
