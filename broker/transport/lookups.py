"""Name look-ups with a time limit, which the operating system's resolver does not have."""

import time
from typing import Any

import gevent
from gevent import socket

LATE = 10.0  # seconds for which the result of a late look-up serves the next call

_running: dict[tuple[Any, str, int], Any] = {}


def resolve(host: str, port: int, limit: float) -> list[Any]:
    """Return the addresses of a host like `socket.getaddrinfo`. `limit` is in seconds.

    Raises `socket.gaierror`. Concurrent look-ups of one name share a query, so that a slow name server does not fill
    gevent's thread pool. A query that exceeds the limit goes on, and its result serves the next call.
    """
    key = (gevent.get_hub(), host, port)
    lookup = _running.get(key)
    if lookup is None:
        lookup = _running[key] = gevent.spawn(_look_up, host, port)
    try:
        finished_at, outcome = lookup.get(timeout=limit)
    except gevent.Timeout:
        gevent.sleep(0)  # a busy worker may not have seen the result yet
        if not lookup.ready():
            raise socket.gaierror(socket.EAI_AGAIN, "the name look-up timed out") from None
        finished_at, outcome = lookup.get()
    _running.pop(key, None)
    if time.monotonic() - finished_at > LATE:
        return resolve(host, port, limit)
    if isinstance(outcome, OSError):
        raise outcome
    return list(outcome)


def _look_up(host: str, port: int) -> tuple[float, Any]:
    """The time and the result, or the error: gevent prints the traceback of a greenlet that raises."""
    outcome: Any
    try:
        outcome = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        outcome = error
    except UnicodeError as error:  # of a name that IDNA cannot encode
        outcome = socket.gaierror(socket.EAI_NONAME, str(error))
    return time.monotonic(), outcome
