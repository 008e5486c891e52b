"""Slow name look-ups for a process with this folder in PYTHONPATH: those of SLOW_NAMES take SLOW_DNS seconds each."""

import _socket
import os
import time
from typing import Any

_look_up = _socket.getaddrinfo


def _look_up_slowly(host: Any, *arguments: Any, **options: Any) -> Any:
    if host in os.environ.get("SLOW_NAMES", "").split():
        time.sleep(float(os.environ["SLOW_DNS"]))
    return _look_up(host, *arguments, **options)


_socket.getaddrinfo = _look_up_slowly  # gevent's resolver calls it in a thread
