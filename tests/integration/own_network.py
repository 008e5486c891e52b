"""A network of one's own: loopback alone, with every port free."""

import concurrent.futures
import ctypes
import os
import subprocess
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
CLONE_NEWNET = 0x40000000  # linux/sched.h


def in_own_network(work: Callable[[], Value]) -> Value:
    """Run `work` in a thread whose network namespace is new. Its threads and processes inherit the namespace.

    The namespace goes with the last of them. Raises OSError where the process is not root, and what `work` raises.
    """
    with concurrent.futures.ThreadPoolExecutor(1, initializer=_enter) as pool:
        return pool.submit(work).result()


def _enter() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: a network namespace needs root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
