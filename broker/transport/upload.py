"""Sends a request. A large body is sent piece by piece, and an answer that comes before its end stops it."""

import contextlib
import time
from typing import Any

from gevent import select, sleep
from gevent.ssl import SSLWantReadError, SSLWantWriteError

AT_ONCE = 65_536  # bytes of a request that are sent without looking for an answer
PIECE = 16_384  # bytes; the largest TLS record
TURN = 0.01  # seconds after which other greenlets run


def send(sock: Any, data: bytes, timeout: float) -> bytes | None:
    """Send all of `data`; `timeout` bounds the seconds without progress.

    Returns None, or the first bytes of an answer that came before the end of the upload: the rest is not sent then.
    b"" means that the server has closed the connection. Raises TimeoutError, or another OSError.
    """
    if len(data) <= AT_ONCE:
        sock.settimeout(timeout)
        # a server may answer a request that it refuses and close the connection at once
        with contextlib.suppress(BrokenPipeError):
            _send_at_once(sock, data)
        return None
    sock.settimeout(0)
    rest, progress = memoryview(data), time.monotonic()
    try:
        while rest := _push(sock, rest):
            waited = time.monotonic() - progress
            readable, writable, _ = select.select([sock], [sock], [], max(0.0, timeout - waited))
            if readable and (answer := _peek(sock)) is not None:
                return answer
            if writable:
                progress = time.monotonic()
            elif not readable:
                raise TimeoutError("the upload makes no progress")
    except (BrokenPipeError, ConnectionResetError):
        if answer := _peek(sock):
            return answer
        raise
    return None


def _send_at_once(sock: Any, data: bytes) -> None:
    sent = sock.send(data)  # mostly all of it; gevent's `sendall` takes a tenth of an exchange's processor time
    if sent < len(data):
        sock.sendall(data[sent:])


def _push(sock: Any, rest: memoryview) -> memoryview:
    """Send as much as the kernel takes, for at most `TURN` seconds; return the rest."""
    write = getattr(sock, "write", sock.send)  # gevent's SSLSocket.send returns 0 where it should raise
    ends_at = time.monotonic() + TURN
    with contextlib.suppress(BlockingIOError, SSLWantWriteError, SSLWantReadError):
        while rest and time.monotonic() < ends_at:
            rest = rest[write(rest[:PIECE]) :]
    if rest:
        sleep(0)
    return rest


def _peek(sock: Any) -> bytes | None:
    """Return the server's data so far; None if it sent nothing or only TLS session tickets."""
    try:
        data: bytes = sock.recv(PIECE)
    except (BlockingIOError, SSLWantReadError):
        return None
    return data
