"""Background writes to Redis, and renewal of the leases of calls in flight. Failed writes are retried.

The scripts are idempotent and independent of order, so several are in flight at once. Writes that are unsent when a
worker is killed are lost: the leases of those calls expire within a minute and their users get the calls back, even if
OpenAI had begun to answer. Normally that concerns the last milliseconds of a worker, in an overloaded worker the last
second or two, and while Redis is unavailable everything since it failed.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from broker.errors.base import UsageUnavailable
from broker.quota import scripts
from broker.quota.redis_store import PAUSE, Store

RENEW_INTERVAL = 15.0  # seconds; a lease (60 s) survives three missed renewals
PROBE_INTERVAL = 5.0  # seconds between probes of a healthy Redis; a failed one is probed every `PAUSE`
WRITERS = 8  # scripts in flight at once, so that a slow Redis does not grow the queue

Arguments = tuple[Any, ...]
OnWritten = Callable[[], object]


class WriteQueue:
    """Built before the fork; starts in the worker, at the latest with the first call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsent: queue.Queue[tuple[str, Arguments, OnWritten | None] | None] = queue.Queue()
        self._leases: dict[str, Arguments] = {}
        self._closing = threading.Event()
        self._writers = 0

    def start(self) -> None:
        """Start the writers and the maintenance of leases. Idempotent."""
        if self._writers:
            return
        self._writers = WRITERS
        for work in [self._write] * WRITERS + [self._maintain]:
            threading.Thread(target=work, args=(self._closing,), name="write queue", daemon=True).start()

    def put(self, script: str, arguments: Arguments, on_written: OnWritten | None = None) -> None:
        """Queue a script. `on_written` is called once Redis has run it."""
        self._unsent.put((script, arguments, on_written))
        self.start()

    def add_lease(self, call_id: str, arguments: Arguments) -> None:
        """Renew this call's lease until `drop_lease`."""
        self._leases[call_id] = arguments
        self.start()

    def drop_lease(self, call_id: str) -> None:
        """Stop renewing this call's lease. Idempotent."""
        self._leases.pop(call_id, None)

    def close(self, within: float) -> None:
        """Wait at most `within` seconds until the queue is empty. A later `put` restarts the writers."""
        end = time.monotonic() + within
        while self._unsent.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)
        self._closing.set()
        for _ in range(self._writers):
            self._unsent.put(None)
        self._closing, self._writers = threading.Event(), 0

    def _write(self, closing: threading.Event) -> None:
        while item := self._unsent.get():
            script, arguments, on_written = item
            while not self._send(script, arguments):
                if closing.wait(PAUSE):
                    return
            if on_written:
                on_written()
            self._unsent.task_done()
        self._unsent.task_done()

    def _maintain(self, closing: threading.Event) -> None:
        """Renew leases, and probe Redis so that its metrics are right even without calls."""
        probed_at = renewed_at = time.monotonic()
        while True:
            if not self._store.is_up or time.monotonic() - probed_at >= PROBE_INTERVAL:
                probed_at = time.monotonic()
                with contextlib.suppress(UsageUnavailable):
                    self._store.probe()
            if closing.wait(PAUSE):
                return
            if time.monotonic() - renewed_at >= RENEW_INTERVAL and self._renew_all():
                renewed_at = time.monotonic()

    def _renew_all(self) -> bool:
        return all(self._send(scripts.RENEW, arguments) for arguments in list(self._leases.values()))

    def _send(self, script: str, arguments: Arguments) -> bool:
        try:
            self._store.run(script, arguments)
        except UsageUnavailable:
            return False
        return True
