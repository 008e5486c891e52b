"""The adapter that `requests` sends through to one server.

Replaces urllib3's pool, which spends a third of a call's cost on features that the broker does not use.
"""

import time
from collections.abc import Mapping
from ssl import SSLEOFError
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError

from broker.transport.options import Options
from broker.transport.pool import Pool
from broker.transport.response import Response
from broker.transport.upload import send

STALE = 1.0  # seconds within which a connection that was closed while idle fails


class Exchanges:
    """Sends requests to one server and reads the heads of the responses. Takes the place of urllib3's pool."""

    def __init__(self, url: str, options: Options) -> None:
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._options = options
        self.pool = Pool(url, options)

    def urlopen(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], timeout: Any, **_: Any
    ) -> Response:
        """One exchange, with the arguments that `HTTPAdapter.send` passes. Returns a response with its head read.

        A connection that fails at once when it is used again, before any byte of a response, was closed while it was
        idle: the request is sent once more on a new one (RFC 9112, 9.3.1). Raises `ReadTimeoutError`, another OSError,
        or HTTPException.
        """
        lines = [f"{method} {url} HTTP/1.1", f"Host: {self._host}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        message = "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
        sock, is_used = self.pool.take(timeout.connect_timeout)
        began = time.monotonic()
        try:
            return self._exchange(sock, message, timeout.read_timeout)
        except (ConnectionError, SSLEOFError):
            if not is_used or time.monotonic() - began > STALE:
                raise
        return self._exchange(self.pool.open(timeout.connect_timeout), message, timeout.read_timeout)

    def _exchange(self, sock: Any, message: bytes, read_timeout: float) -> Response:
        try:
            first = send(sock, message, self._options.upload_timeout)
            sock.settimeout(read_timeout)
            # a server that answers before the end of an upload waits for the rest: the connection is not kept
            return Response(sock, self.pool.give_back if first is None else _close, first)
        except BaseException as error:
            sock.close()
            if isinstance(error, TimeoutError):
                raise ReadTimeoutError(self, "", "no answer in time") from None  # type: ignore[arg-type]  # it prints it
            raise


def _close(sock: Any) -> None:
    sock.close()


class Adapter(HTTPAdapter):
    """The adapter for one server. Always verifies its certificate."""

    def __init__(self, url: str, options: Options | None = None) -> None:
        """`options`: the defaults of `Options` apply without them."""
        self._exchanges = Exchanges(url, options or Options())
        super().__init__()

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """No urllib3 pool is needed."""

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """The pool for a request."""
        return self._exchanges

    def cert_verify(self, *_: Any) -> None:
        """The TLS context verifies the certificate."""

    def request_url(self, request: PreparedRequest, *_: Any) -> str:
        """The path and the query."""
        return request.path_url

    def build_response(self, req: PreparedRequest, resp: Any) -> Any:
        """Pass on our responses unchanged; mocked ones in tests are wrapped as usual."""
        return resp if isinstance(resp, Response) else super().build_response(req, resp)

    def close(self) -> None:
        """Close the idle connections."""
        self._exchanges.pool.close()
