"""Kinds of network failures. Pure: walks an exception's chain without importing any HTTP or Redis library."""

import http.client
import socket
import ssl
from collections.abc import Iterator

DNS, REFUSED, TLS, CERTIFICATE, TIMEOUT, CUT, OTHER = (
    "dns",
    "refused",
    "tls",
    "certificate",
    "timeout",
    "cut",
    "other",
)
KINDS = (DNS, REFUSED, TLS, CERTIFICATE, TIMEOUT, CUT, OTHER)
# the order matters: the first class that fits decides
_CLASSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, DNS),
    (ssl.SSLCertVerificationError, CERTIFICATE),
    (ssl.SSLEOFError, CUT),
    (ssl.SSLZeroReturnError, CUT),
    (TimeoutError, TIMEOUT),
    (ConnectionRefusedError, REFUSED),
    (ConnectionError, CUT),  # reset, aborted, broken pipe
    (ssl.SSLError, TLS),
    (EOFError, CUT),
    (http.client.IncompleteRead, CUT),
)
# of urllib3, requests, redis and gevent, which this module does not import
_NAMES = {
    "NameResolutionError": DNS,
    "ConnectTimeoutError": TIMEOUT,
    "ConnectTimeout": TIMEOUT,
    "ReadTimeoutError": TIMEOUT,
    "ReadTimeout": TIMEOUT,
    "TimeoutError": TIMEOUT,
    "Timeout": TIMEOUT,
    "ProtocolError": CUT,
    "ChunkedEncodingError": CUT,
}
_DEPTH = 20  # exceptions of a chain that are looked at


def kind_of(error: BaseException) -> str:
    """The kind of a network failure, one of `KINDS`."""
    return _root(error)[0]


def words_of(error: BaseException) -> str:
    """The error's own words for a log line: a text of the operating system or of OpenSSL, else a class name.

    Texts of other libraries are left out because they may repeat a URL with a password.
    """
    root = _root(error)[1]
    if isinstance(root, ssl.SSLCertVerificationError):
        return root.verify_message
    if isinstance(root, ssl.SSLError) and getattr(root, "reason", None):
        return root.reason
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return type(root).__name__


def _root(error: BaseException) -> tuple[str, BaseException]:
    """The first exception of the chain that names a kind; the standard library's classes before other libraries'."""
    chain = list(_chain(error))
    for one in chain:
        for kind_class, kind in _CLASSES:
            if isinstance(one, kind_class):
                return kind, one
    for one in chain:
        if type(one).__name__ in _NAMES:
            return _NAMES[type(one).__name__], one
    return OTHER, error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it wraps: `reason` and arguments (urllib3, requests), cause and context (Python)."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _DEPTH:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        wrapped = (getattr(one, "reason", None), *one.args, one.__cause__, one.__context__)
        waiting += [inner for inner in wrapped if isinstance(inner, BaseException)]
