"""Connections to OpenAI for `requests` to send through, kept for reuse.

`urllib3` opens them and verifies certificates. What it and http.client do besides for each exchange is left out: that
took a third of a call.
"""

import contextlib
import functools
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util.ssl_ import create_urllib3_context

from broker.openai.transport.channel import Channel
from broker.openai.transport.response import Response


class Pool:
    """The connections to one server, in the place of urllib3's pool."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._address = (parts.hostname or "", parts.port or (443 if self._is_tls else 80))
        self._host = parts.netloc.rpartition("@")[2]
        self._idle: list[Channel] = []

    def urlopen(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], timeout: Any, **_: Any
    ) -> Response:
        """One exchange, as `HTTPAdapter.send` asks for it: the response, its head read.

        Raises `ReadTimeoutError`, `ProtocolError`, another `HTTPError` or OSError; or what is thrown into its waits.
        """
        lines = [f"{method} {url} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        message = "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
        channel = self._take(timeout.connect_timeout)
        try:
            channel.set_timeout(timeout.read_timeout)
            with contextlib.suppress(BrokenPipeError):  # the answer to a body that is too large may be here already
                channel.send(message)
            return Response(channel, self._give_back)
        except BaseException as error:
            channel.close()
            if isinstance(error, TimeoutError):
                raise ReadTimeoutError(self, url, "no answer in time") from None  # type: ignore[arg-type]  # it prints it
            if isinstance(error, HTTPException):
                raise ProtocolError("no HTTP response") from None
            raise

    def close(self) -> None:
        """Close the connections that wait for reuse."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, connect_timeout: Any) -> Channel:
        while self._idle:
            channel = self._idle.pop()
            if channel.is_alive():
                return channel
            channel.close()
        return Channel(self._connect(connect_timeout))

    def _connect(self, timeout: Any) -> Any:
        connection: HTTPConnection
        if self._is_tls:
            connection = HTTPSConnection(
                *self._address, timeout=timeout, ssl_context=_tls_context(), cert_reqs="CERT_REQUIRED"
            )
        else:
            connection = HTTPConnection(*self._address, timeout=timeout)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection.sock

    def _give_back(self, channel: Channel) -> None:
        channel.rest()
        self._idle.append(channel)


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """One for all connections: each of urllib3's own would hold a copy of all certificates of the authorities."""
    context = create_urllib3_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class Adapter(HTTPAdapter):
    """What `requests` sends through to one server: its certificate is always verified, and no proxy is asked."""

    def __init__(self, url: str) -> None:
        self._pool = Pool(url)
        super().__init__()

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """There is one pool."""

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """The pool that a request goes to."""
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """The pool has seen to it."""

    def request_url(self, request: PreparedRequest, *_: Any) -> str:
        """The path and the query."""
        return request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Any:
        """The pool's response as it is; one that tests play is wrapped as ever."""
        return resp if isinstance(resp, Response) else super().build_response(req, resp)

    def close(self) -> None:
        """Close the connections that wait for reuse."""
        self._pool.close()
