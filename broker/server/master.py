"""Changes to gunicorn's master: reloads that keep open answers and survive mistakes, and replacements of workers.

gunicorn counts a worker that finishes its answers as one of the wanted number, ends it after `graceful_timeout` even
if nothing else needs its place, blocks during a reload, and exits if the new settings are wrong. Here a leaving worker
is not counted and may finish its answers, and a reload with wrong settings changes nothing.
"""

import gc
import logging
import mmap
import os
import signal
import socket
import struct
import sys
from typing import Any

from broker.server.env_file import EnvFile
from broker.server.multiprocess_metrics import DeadWorkers
from broker.settings.secrets import EnvFileInvalid

log = logging.getLogger(__name__)

# a client that vanished is detected after 30 + 3 * 10 seconds
KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
# the shared state: whether the master is stopping; the worker that asks for a replacement, or 0
_IS_STOPPING, _LEAVING = struct.Struct("=?"), struct.Struct("=i")
_LEAVING_AT = 8  # bytes; each value is written alone, because another process may write the other one meanwhile


class SharedState:
    """The state that master and workers share. Created before the first fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _LEAVING_AT + _LEAVING.size)

    @property
    def is_stopping(self) -> bool:
        """Whether the master stops, so that workers must end within `graceful_timeout`."""
        return bool(_IS_STOPPING.unpack_from(self._memory)[0])

    @property
    def leaving(self) -> int:
        """The process id of the worker that asks for, or is under, replacement; 0 if there is none."""
        return int(_LEAVING.unpack_from(self._memory, _LEAVING_AT)[0])

    def set(self, *, is_stopping: bool | None = None, leaving: int | None = None) -> None:
        """Change one or both values."""
        if is_stopping is not None:
            _IS_STOPPING.pack_into(self._memory, 0, is_stopping)
        if leaving is not None:
            self._memory[_LEAVING_AT:] = _LEAVING.pack(leaving)

    def request_replacement(self, pid: int) -> bool:
        """Ask the master to replace this worker. False while another one is being replaced: they go one at a time."""
        if self.leaving not in (0, pid):
            return False
        self.set(leaving=pid)
        return True


class Master:
    """gunicorn's master process with its methods `handle_hup`, `manage_workers` and `stop` replaced."""

    def __init__(self, server: Any, env_file: EnvFile, dead_workers: DeadWorkers) -> None:
        """`server`: gunicorn's arbiter."""
        self.state = SharedState()
        self._server = server
        self._env_file = env_file
        self._dead_workers = dead_workers
        self._replaced = 0  # the worker that was replaced last because it asked for it
        self._stop = server.stop
        self._graceful_timeout = server.cfg.graceful_timeout
        self._keep_alive()
        server.handle_hup = self.reload
        server.manage_workers = self.manage_workers
        server.stop = self.stop

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Stop the workers, telling them that they cannot take longer than `graceful_timeout`."""
        self.state.set(is_stopping=True)
        self._stop(graceful)

    def manage_workers(self) -> None:
        """Keep the wanted number of workers that accept connections. Called by gunicorn at least every second."""
        self._replace_requested()
        for _ in range(self._server.num_workers - len(self._active())):
            self._server.spawn_worker()
        active = sorted(self._active(), key=lambda worker: worker.age)
        for worker in active[: max(0, len(active) - self._server.num_workers)]:
            self._retire(worker)

    def worker_exited(self, worker: Any) -> None:
        """Clean up after a worker. Never raises: an exception in a hook would end the master."""
        if self.state.leaving == worker.pid:
            self.state.set(leaving=0)
        is_expected = worker.is_leaving or self.state.is_stopping
        try:
            if lapsed := self._dead_workers.mark_dead(worker.pid, is_expected=is_expected):
                log.warning("a worker died with %d calls in flight", lapsed)
        except Exception as error:
            log.error("metrics of a dead worker cannot be read", exc_info=error)

    def reload(self) -> None:
        """SIGHUP: read the settings anew and replace the workers. Wrong settings are logged and change nothing."""
        server, before = self._server, self._env_file.snapshot()
        module = server.app.app_uri.partition(":")[0]
        old_app, old_module = server.app.callable, sys.modules.pop(module, None)
        server.app.callable = None
        try:
            self._env_file.read()
            server.app.wsgi()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the new settings cause
            self._env_file.restore(before)
            server.app.callable = old_app
            if old_module:
                sys.modules[module] = old_module
            reason = str(error) if isinstance(error, SystemExit | EnvFileInvalid) else type(error).__name__
            log.error("reload refused, the old settings stay", extra={"reason": reason})
            return
        del old_app, old_module  # collected below
        try:
            server.reload()
        except (Exception, SystemExit) as error:
            if os.getpid() != server.pid:
                raise  # a new worker ends
            log.error("reload failed", exc_info=error)
        server.cfg.set("graceful_timeout", self._graceful_timeout)
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        log.info("reloaded")

    def on_reload(self) -> None:
        """Gunicorn's hook within a reload: skip its wait for the old workers, which would block the master."""
        self._graceful_timeout = self._server.cfg.graceful_timeout
        self._server.cfg.set("graceful_timeout", 0)
        self._keep_alive()

    def _keep_alive(self) -> None:
        """Probe silent clients. On Linux, accepted sockets inherit these options from their listener (tcp(7))."""
        for listener in self._server.LISTENERS:
            if listener.sock.family != socket.AF_UNIX:
                for level, option, value in KEEP_ALIVE:
                    listener.sock.setsockopt(level, option, value)

    def _active(self) -> list[Any]:
        return [worker for worker in self._server.WORKERS.values() if not worker.is_leaving]

    def _retire(self, worker: Any) -> None:
        worker.is_leaving = True
        self._server.kill_worker(worker.pid, signal.SIGTERM)

    def _replace_requested(self) -> None:
        worker = self._server.WORKERS.get(self.state.leaving)
        if worker is None or (worker.is_leaving and worker.pid != self._replaced):  # it leaves because of a reload, say
            self.state.set(leaving=0)
        elif not worker.is_leaving:
            worker.is_leaving = True
            self._replaced = worker.pid
            self._server.spawn_worker()
            self._server.kill_worker(worker.pid, signal.SIGTERM)
