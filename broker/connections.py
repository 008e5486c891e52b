"""Connections to OpenAI that read a body as the network brings it: all that one receive brought, at once.

http.client hands out one HTTP chunk at a time though many more may lie in its buffer, and OpenAI
sends a chunk for every token.
"""

import http.client
import ssl
from typing import Any

import gevent.socket
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from broker.chunks import ChunkReader

READ_SIZE = 65_536  # bytes asked of one receive


class Response(http.client.HTTPResponse):
    """An HTTP response whose `read1` gives all payload that one receive brought."""

    _reader: ChunkReader | None = None

    def read1(self, n: int = -1) -> bytes:
        """Bytes as they come, b"" at the end. Raises `http.client.IncompleteRead` where the peer cut it short."""
        if self.fp is None or not self.chunked:
            return super().read1(n if n >= 0 else READ_SIZE)
        self._reader = self._reader or ChunkReader()
        payload = b""
        while not payload and not self._reader.complete:
            data = self.fp.read1(READ_SIZE)
            if not data:
                raise http.client.IncompleteRead(b"")
            payload = self._reader.feed(data)
        if self._reader.complete:
            self._close_conn()  # type: ignore[attr-defined]  # gives the connection back to its pool
        return payload


def comes_within(response: Any, seconds: float) -> bool:
    """Whether the next read of this urllib3 response will find something, be it the end, in so many seconds."""
    sock = response.connection and response.connection.sock
    if sock is None:
        return True
    before = sock.gettimeout()
    sock.settimeout(0)  # to look at what lies in the buffers, without waiting
    try:
        if response._fp.fp.peek(1):  # noqa: SLF001 - urllib3 shows it to nobody
            return True
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
    except OSError:
        return True  # the read will say what is wrong
    finally:
        sock.settimeout(before)
    try:
        gevent.socket.wait_read(sock.fileno(), seconds)
    except TimeoutError:
        return False
    return True


class PlainConnection(HTTPConnection):
    """urllib3's connection, reading with the `Response` above."""

    response_class: Any = Response


class TLSConnection(HTTPSConnection):
    """The same over TLS."""

    response_class: Any = Response


class PlainPool(HTTPConnectionPool):
    """Such connections, kept for reuse."""

    ConnectionCls = PlainConnection


class TLSPool(HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = TLSConnection


class Adapter(HTTPAdapter):
    """What `requests` sends through: one pool a host."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Called by `requests` when it builds the adapter."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}
