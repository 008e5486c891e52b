"""Background writes to Redis, and renewal of the leases of calls in flight. Failed writes are retried.

The scripts are idempotent and independent of order, so several are in flight at once. Writes to a part of Redis that is
unavailable have a queue of their own, so that they do not delay writes to other parts.

Writes that are unsent when a worker is killed are lost: the leases of those calls expire within a minute and their
users get the calls back, even if OpenAI had begun to answer. Normally that concerns the last milliseconds of a worker,
in an overloaded worker the last second or two, and while Redis is unavailable everything since it failed.
"""

import contextlib
import functools
import queue
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker.errors.base import UsageUnavailable
from broker.quota import scripts
from broker.quota.redis_clients.shards import PAUSE
from broker.quota.redis_store import Store
from broker.telemetry.background import Background

RENEW_INTERVAL = 15.0  # seconds; a lease (60 s) survives three missed renewals
PROBE_INTERVAL = 5.0  # seconds between probes of a healthy Redis; a failed one is probed every `PAUSE`
WRITERS = 8  # scripts in flight at once, so that a slow Redis does not grow the queue
ATTEMPTS = 3  # of a write that raises an unexpected exception; then it is dropped, and its lease expires

Arguments = tuple[Any, ...]
OnWritten = Callable[[], object]


@dataclass
class _Write:
    """A script with its arguments, the callback for its success, and the attempts so far."""

    script: str
    arguments: Arguments
    on_written: OnWritten | None
    keys: int = scripts.KEYS
    attempts: int = 0


class WriteQueue:
    """Built before the fork; starts in the worker, at the latest with the first call."""

    def __init__(self, store: Store, background: Background) -> None:
        self._store = store
        self._background = background
        self._unsent: queue.Queue[_Write | None] = queue.Queue()
        self._failed: defaultdict[str, deque[_Write]] = defaultdict(deque)  # by the part of Redis that did not answer
        self._leases: dict[str, Arguments] = {}
        self._closing = threading.Event()
        self._writers = 0

    def start(self) -> None:
        """Start the writers and the maintenance of leases. Idempotent."""
        if self._writers:
            return
        self._writers = WRITERS
        for work in [self._write] * WRITERS + [self._maintain]:
            self._background.run("write queue", functools.partial(work, self._closing), is_vital=True)

    def put(
        self, script: str, arguments: Arguments, on_written: OnWritten | None = None, keys: int = scripts.KEYS
    ) -> None:
        """Queue a script of `keys` keys. `on_written` is called once Redis has run it."""
        self._unsent.put(_Write(script, arguments, on_written, keys))
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

    def _write(self, _: threading.Event) -> None:
        while write := self._unsent.get():
            write.attempts += 1
            try:
                is_sent = self._send(write.script, write.arguments, write.keys)
            except Exception:
                if write.attempts < ATTEMPTS:
                    self._unsent.put(write)
                self._unsent.task_done()
                raise
            if is_sent:
                self._finish(write)
            else:
                write.attempts -= 1
                self._failed[self._store.shard_of(write.arguments[0])].append(write)
        self._unsent.task_done()

    def _finish(self, write: _Write) -> None:
        self._unsent.task_done()
        if write.on_written:
            write.on_written()

    def _retry_failed(self) -> None:
        """Send one failed write to each part of Redis. If it arrives, queue the others of that part again.

        If not, the next one is sent the next time: the first may fail because the slot of its key is half moved.
        """
        for writes in [writes for writes in self._failed.values() if writes]:
            first = writes.popleft()
            try:
                is_sent = self._send(first.script, first.arguments, first.keys)
            except Exception:
                self._put_again(first)
                raise
            if not is_sent:
                writes.append(first)
                continue
            self._finish(first)
            while writes:
                self._put_again(writes.popleft())

    def _put_again(self, write: _Write) -> None:
        self._unsent.put(write)
        self._unsent.task_done()

    def _maintain(self, closing: threading.Event) -> None:
        """Renew leases, and probe Redis so that its metrics are right even without calls."""
        probed_at = renewed_at = time.monotonic()
        due: list[str] = []  # leases to renew
        while True:
            if not self._store.is_up or time.monotonic() - probed_at >= PROBE_INTERVAL:
                probed_at = time.monotonic()
                with contextlib.suppress(UsageUnavailable):
                    self._store.probe()
            self._retry_failed()
            if closing.wait(PAUSE):
                return
            if time.monotonic() - renewed_at >= RENEW_INTERVAL:
                renewed_at, due = time.monotonic(), list(self._leases)
            due = [call_id for call_id in due if not self._renew(call_id)]

    def _renew(self, call_id: str) -> bool:
        """Whether this lease needs no renewal any more. One that fails is retried every `PAUSE`."""
        arguments = self._leases.get(call_id)
        return arguments is None or self._send(scripts.RENEW, arguments)

    def _send(self, script: str, arguments: Arguments, keys: int = scripts.KEYS) -> bool:
        try:
            self._store.run(script, arguments, keys)
        except UsageUnavailable:
            return False
        return True
