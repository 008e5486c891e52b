"""What Redis is still to be told, and the leases that are to be kept alive: sent in the background, for as
long as it takes.

The scripts may be sent twice and in any order, so several are under way at once. What is unsent
when a worker is killed is lost with it: the leases of those calls lapse within a minute, and so their
users have them again, also where OpenAI had begun to answer. As a rule that is what a worker did in its last
milliseconds; in one that is swamped, in its last second or two; while Redis is away, all since it went.
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

RENEW_EVERY = 15.0  # seconds; a lease (60 s) outlives three missed renewals
LOOK_EVERY = 5.0  # seconds between looks at a Redis that is well; one that is away is looked at every `PAUSE`
WRITERS = 8  # scripts under way at once: a slow Redis does not let the news pile up

Arguments = tuple[Any, ...]
Told = Callable[[], object]


class Outbox:
    """Built before the fork; starts in the worker, at the latest with the first call."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._unsent: queue.Queue[tuple[str, Arguments, Told] | None] = queue.Queue()
        self._leases: dict[str, Arguments] = {}
        self._closing = threading.Event()
        self._writers = 0

    def start(self) -> None:
        """Look after Redis from now on, also where nobody calls. May be called twice."""
        if self._writers:
            return
        self._writers = WRITERS
        for work in [self._write] * WRITERS + [self._look_after]:
            threading.Thread(target=work, args=(self._closing,), name="outbox", daemon=True).start()

    def put(self, script: str, arguments: Arguments, told: Told) -> None:
        """Tell Redis; `told` is called once it knows."""
        self._unsent.put((script, arguments, told))
        self.start()

    def keep_alive(self, call_id: str, arguments: Arguments) -> None:
        """Renew this call's lease until `let_go`."""
        self._leases[call_id] = arguments
        self.start()

    def let_go(self, call_id: str) -> None:
        """Its lease is of no more use. May be called twice."""
        self._leases.pop(call_id, None)

    def close(self, within: float) -> None:
        """Wait for what is unsent, for at most so many seconds; what comes later is sent all the same."""
        end = time.monotonic() + within
        while self._unsent.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)
        self._closing.set()
        for _ in range(self._writers):
            self._unsent.put(None)
        self._closing, self._writers = threading.Event(), 0

    def _write(self, closing: threading.Event) -> None:
        while letter := self._unsent.get():
            script, arguments, told = letter
            while not self._send(script, arguments):
                if closing.wait(PAUSE):
                    return
            told()
            self._unsent.task_done()
        self._unsent.task_done()

    def _look_after(self, closing: threading.Event) -> None:
        """Keep leases alive; and see how Redis is: what the metrics say of it is true where nobody calls, too."""
        looked_at = renewed_at = time.monotonic()
        while True:
            if not self._store.is_up or time.monotonic() - looked_at >= LOOK_EVERY:
                looked_at = time.monotonic()
                with contextlib.suppress(UsageUnavailable):
                    self._store.probe()
            if closing.wait(PAUSE):
                return
            if time.monotonic() - renewed_at >= RENEW_EVERY and self._renew_all():
                renewed_at = time.monotonic()

    def _renew_all(self) -> bool:
        return all(self._send(scripts.RENEW, arguments) for arguments in list(self._leases.values()))

    def _send(self, script: str, arguments: Arguments) -> bool:
        try:
            self._store.run(script, arguments)
        except UsageUnavailable:
            return False
        return True
