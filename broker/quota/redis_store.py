"""Runs scripts in Redis, and fails fast while it is unavailable.

After a failure no script is sent for `PAUSE` seconds. Then one call tries again while the others are still refused, so
a frozen Redis costs one time-out per second, not one per call. In a Cluster that holds for each primary on its own.
While Redis answers, scripts queue for one of `MAX_CONCURRENT` places; waiting in that queue is not a failure. The log
has one line when Redis fails and one when it recovers.
"""

import hashlib
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gevent.lock import BoundedSemaphore
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, TryAgainError

from broker.errors.base import UsageUnavailable, UsageUncertain
from broker.quota import scripts
from broker.quota.redis_clients.failures import Failure, describe
from broker.quota.redis_clients.shards import PAUSE, Health, shard_of, shards_of
from broker.quota.redis_clients.urls import Client
from broker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

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
        self._healths: dict[str, Health] = {}
        self._was_up: bool | None = None
        self.failure: Failure | None = None  # the last one, until Redis recovers

    @property
    def is_up(self) -> bool:
        """Whether the last scripts succeeded, in every part of Redis."""
        return bool(self._was_up)

    def shard_of(self, key: str) -> str:
        """The part of Redis that holds `key`. Parts fail independently."""
        return shard_of(self._client, key)

    def run(
        self, script: str, arguments: tuple[Any, ...], keys: int = scripts.KEYS, waiting: Waiting = UNINTERRUPTED
    ) -> Any:
        """Return the result of `script`. The first `keys` of `arguments` are its KEYS, the others its ARGV.

        Raises `UsageUnavailable` if the script was not sent, `UsageUncertain` if it was sent and may have run, and
        whatever `waiting` raises while the call is queued.
        """
        health = self._health(self.shard_of(arguments[0]))
        _refuse_if_paused(health)
        with waiting:
            self._places.acquire()  # each holder releases its place within Redis' time-out
        try:
            _refuse_if_paused(health)
            changes = health.begin()
            result = self._evaluate(script, keys, arguments)
        except TryAgainError as error:
            # One slot is half moved, perhaps for long. The other keys of this part are not affected.
            health.end_pause(changes)
            self._metrics.redis_failed(describe(error).kind)
            raise UsageUncertain(retry_after=PAUSE) from None
        except (RedisError, RedisClusterException, OSError) as error:
            health.record(changes, is_up=False)
            self._report(describe(error))
            raise UsageUncertain(retry_after=PAUSE) from None
        finally:
            self._places.release()
        if script in scripts.ADDING:
            if health.is_up is not True:
                health.record(changes, is_up=True)
                self._report()
        else:
            # A full Redis, or one on a full disk, still reads and deletes. That is not a recovery.
            health.end_pause(changes)
        return result

    def probe(self) -> None:
        """Write a short-lived key to every part. Raises like `run`, also if Redis refuses writes."""
        failure: UsageUnavailable | None = None
        for tag in shards_of(self._client).values():
            try:
                self.run(scripts.PROBE, (f"gpt-broker:{{{tag}}}",), keys=1)
            except UsageUnavailable as unavailable:
                failure = unavailable
        if failure:
            raise failure

    def _health(self, shard: str) -> Health:
        return self._healths.get(shard) or self._healths.setdefault(shard, Health())

    def _evaluate(self, script: str, keys: int, arguments: tuple[Any, ...]) -> Any:
        digest = self._digests.get(script)
        if digest is None:
            # the script's name: https://redis.io/docs/latest/commands/evalsha/
            digest = self._digests[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return self._client.evalsha(digest, keys, *arguments)
        except NoScriptError:
            return self._client.eval(script, keys, *arguments)

    def _report(self, failure: Failure | None = None) -> None:
        """Count a failure, and report a change of the whole: in a Cluster, parts that are gone do not count."""
        if failure:
            self.failure = failure
            self._metrics.redis_failed(failure.kind)
        shards = shards_of(self._client)
        down = sorted(shard for shard in shards if self._health(shard).is_up is False)
        self._healths = {shard: health for shard, health in self._healths.items() if shard in shards}
        is_up = not down
        if is_up is self._was_up:
            return
        if not is_up:
            policy = "refused" if self._is_required else "counted by each worker"
            cause = vars(self.failure) if self.failure else {}
            log.error(
                "Redis is unavailable: calls are %s until it recovers", policy, extra=cause | {"host": ", ".join(down)}
            )
        elif self._was_up is False:
            self.failure = None
            log.warning("Redis has recovered")
        self._was_up = is_up
        self._metrics.redis_up.set(is_up)
        self._metrics.counting_locally.set(not (is_up or self._is_required))


def _refuse_if_paused(health: Health) -> None:
    if health.is_paused:
        raise UsageUnavailable(retry_after=PAUSE)
