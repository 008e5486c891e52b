"""Runs scripts in Redis, and fails fast while it is unavailable.

After a failure no script is sent for `PAUSE` seconds. Then one call tries again while the others are still refused, so
a frozen Redis costs one time-out per second, not one per call. While Redis answers, scripts queue for one of
`MAX_CONCURRENT` places; waiting in that queue is not a failure. The log has one line when Redis fails and one when it
recovers.
"""

import hashlib
import logging
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gevent.lock import BoundedSemaphore
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.quota import scripts
from broker.quota.redis_clients.urls import Client
from broker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds after a failure in which no script is sent
MAX_CONCURRENT = 64  # scripts in flight per worker; others queue
Waiting = AbstractContextManager[object]  # surrounds a wait and may interrupt it with a fault
UNINTERRUPTED: Waiting = nullcontext()


class Store:
    """One Redis. Built before the fork; connects with the first script."""

    def __init__(self, client: Client, metrics: Metrics, *, is_required: bool = True) -> None:
        """`client` has time-outs of its own. `is_required`: calls are refused while Redis is unavailable."""
        self._client = client
        self._metrics = metrics
        self._is_required = is_required
        self._places = BoundedSemaphore(MAX_CONCURRENT)  # threading's costs as much as a Redis command
        self._digests: dict[str, str] = {}
        self._paused_until = 0.0
        self._is_up: bool | None = None
        self._changes = 0  # how often `_is_up` has changed

    @property
    def is_up(self) -> bool:
        """Whether the last script succeeded."""
        return bool(self._is_up)

    def run(self, script: str, arguments: tuple[Any, ...], keys: int = 2, waiting: Waiting = UNINTERRUPTED) -> Any:
        """Return the result of `script`. The first `keys` of `arguments` are its KEYS, the others its ARGV.

        Raises `UsageUnavailable` if the script was not sent, `UsageUncertain` if it was sent and may have run, and
        whatever `waiting` raises while the call is queued.
        """
        self._refuse_if_paused()
        with waiting:
            self._places.acquire()  # each holder releases its place within Redis' time-out
        try:
            self._start_attempt()
            changes = self._changes
            result = self._evaluate(script, keys, arguments)
        except (RedisError, RedisClusterException, OSError) as error:
            self._record(changes, is_up=False, why=type(error).__name__)
            raise UsageUncertain(retry_after=PAUSE) from None
        finally:
            self._places.release()
        if script in scripts.ADDING:
            self._record(changes, is_up=True)
        elif self._is_up is False and changes == self._changes:
            # A full Redis, or one on a full disk, still reads and deletes. That is not a recovery.
            self._paused_until = 0.0
        return result

    def probe(self) -> None:
        """Write a short-lived key. Raises like `run`, also if Redis refuses writes."""
        self.run(scripts.PROBE, ("gpt-broker:{ready}",), keys=1)

    def _refuse_if_paused(self) -> None:
        if time.monotonic() < self._paused_until:
            raise UsageUnavailable(retry_after=PAUSE)

    def _start_attempt(self) -> None:
        self._refuse_if_paused()
        if self._is_up is False:
            self._paused_until = time.monotonic() + PAUSE  # this call tries; others are refused meanwhile

    def _evaluate(self, script: str, keys: int, arguments: tuple[Any, ...]) -> Any:
        digest = self._digests.get(script)
        if digest is None:
            # the script's name: https://redis.io/docs/latest/commands/evalsha/
            digest = self._digests[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return self._client.evalsha(digest, keys, *arguments)
        except NoScriptError:
            return self._client.eval(script, keys, *arguments)

    def _record(self, changes: int, *, is_up: bool, why: str = "") -> None:
        """Record the outcome of a script sent after `changes` changes. An older script's outcome is ignored."""
        if changes != self._changes:
            return
        self._paused_until = 0.0 if is_up else time.monotonic() + PAUSE
        if is_up is self._is_up:
            return
        self._changes += 1
        if not is_up:
            policy = "refused" if self._is_required else "counted by each worker"
            log.error("Redis is unavailable: calls are %s until it recovers", policy, extra={"why": why})
        elif self._is_up is False:
            log.warning("Redis has recovered")
        self._is_up = is_up
        self._metrics.redis_up.set(is_up)
        self._metrics.counting_locally.set(not (is_up or self._is_required))
