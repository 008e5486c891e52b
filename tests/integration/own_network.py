"""A network of one's own: loopback alone, with every port free, and hosts beside it."""

import concurrent.futures
import ctypes
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")
CLONE_NEWNET = 0x40000000  # linux/sched.h
GATEWAY = "10.77.0.1"  # this namespace, as the hosts see it


def in_own_network(work: Callable[[], Value]) -> Value:
    """Run `work` in a thread whose network namespace is new. Its threads and processes inherit the namespace.

    The namespace goes with the last of them. Raises OSError where the process is not root, and what `work` raises.
    """
    with concurrent.futures.ThreadPoolExecutor(1, initializer=_enter) as pool:
        return pool.submit(work).result()


def add_bridge() -> None:
    """Give the calling thread's network a bridge, to which hosts are connected, with the address GATEWAY."""
    for command in ("link add hosts type bridge", f"addr add {GATEWAY}/16 dev hosts", "link set hosts up"):
        _ip(*command.split())


class Host:
    """A network namespace on the bridge, with an address of its own."""

    def __init__(self, number: int) -> None:
        """`number`: 0 and up, one for each host."""
        self.address = f"10.77.{number // 250}.{number % 250 + 2}"
        command = ("unshare", "--net", "sh", "-c", "echo; exec sleep infinity")
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        self._holder.stdout.readline()  # the namespace exists now
        self._holder.stdout.close()
        pid = str(self._holder.pid)
        _ip("link", "add", f"host{number}", "type", "veth", "peer", "name", "eth0", "netns", pid)
        _ip("link", "set", f"host{number}", "master", "hosts", "up")
        own = "link set lo up", f"addr add {self.address}/16 dev eth0", "link set eth0 up"
        for words in own:
            subprocess.run([*self._enter, "ip", *words.split()], check=True)

    @property
    def _enter(self) -> tuple[str, str]:
        return "nsenter", f"--net=/proc/{self._holder.pid}/ns/net"

    def run(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path, output: Path
    ) -> subprocess.Popen[bytes]:
        """Start a program in `folder` on this host, as the first of its process group. It writes to `output`."""
        with output.open("wb") as log:
            return subprocess.Popen(
                [*self._enter, *command],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Remove the host; programs that still run there lose their network."""
        self._holder.kill()
        self._holder.wait()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _enter() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: a network namespace needs root")
    _ip("link", "set", "lo", "up")
