"""Redis, asked with scripts, and what happens when it is away.

A Redis that failed is left alone for `PAUSE` seconds, in which nobody waits for it; then one call
tries it again. So a frozen Redis costs one time-out a second, not one a call. While Redis answers, everybody
gets their turn, however many come at once: a wait for it says nothing of Redis. The log says when it goes and
when it is back, not more.
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
from broker.quota.redis_urls import Client
from broker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds for which a Redis that failed is not asked again
AT_ONCE = 64  # scripts under way at once per worker; more wait their turn
Waiting = AbstractContextManager[object]  # surrounds a wait, and may end it with a fault
TO_ITS_END: Waiting = nullcontext()


class Store:
    """One Redis. Built before the fork; connects with the first script."""

    def __init__(self, client: Client, metrics: Metrics, *, is_required: bool = True) -> None:
        """`client` has its time-out; `is_required`: calls are refused while Redis is away."""
        self._client = client
        self._metrics = metrics
        self._is_required = is_required
        self._places = BoundedSemaphore(AT_ONCE)  # threading's takes as long as a command to Redis
        self._digests: dict[str, str] = {}
        self._asleep_until = 0.0
        self._is_up: bool | None = None
        self._turns = 0  # how often it has gone or come

    @property
    def is_up(self) -> bool:
        """Whether it did what it was last asked for."""
        return bool(self._is_up)

    def run(self, script: str, arguments: tuple[Any, ...], keys: int = 2, waiting: Waiting = TO_ITS_END) -> Any:
        """The answer of `script` for the first `keys` of `arguments` and the values behind them.

        Raises `UsageUnavailable` where Redis is known not to answer, or was not asked; `UsageUncertain`
        where it was asked: it may have done what it was asked for; and what `waiting` raises while it is not
        yet its turn.
        """
        self._refuse_if_asleep()
        with waiting:
            self._places.acquire()  # whoever holds one lets go of it within Redis' time-out
        try:
            self._try_if_asleep()
            since = self._turns
            answer = self._evaluate(script, keys, arguments)
        except (RedisError, RedisClusterException, OSError) as error:
            self._note(since, is_up=False, why=type(error).__name__)
            raise UsageUncertain(retry_after=PAUSE) from None
        finally:
            self._places.release()
        if script in scripts.ADDING:
            self._note(since, is_up=True)
        elif self._is_up is False and since == self._turns:
            # a full Redis, or one on a full disk, still lets things be read and taken away: that is no return
            self._asleep_until = 0.0
        return answer

    def probe(self) -> None:
        """Have Redis count nothing. Raises as `run`, also where it takes nothing new."""
        self.run(scripts.PROBE, ("gpt-broker:{ready}",), keys=1)

    def _refuse_if_asleep(self) -> None:
        if time.monotonic() < self._asleep_until:
            raise UsageUnavailable(retry_after=PAUSE)

    def _try_if_asleep(self) -> None:
        self._refuse_if_asleep()
        if self._is_up is False:
            self._asleep_until = time.monotonic() + PAUSE  # this call tries; the others are refused meanwhile

    def _evaluate(self, script: str, keys: int, arguments: tuple[Any, ...]) -> Any:
        digest = self._digests.get(script)
        if digest is None:
            # Redis names scripts by it: https://redis.io/docs/latest/commands/evalsha/
            digest = self._digests[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return self._client.evalsha(digest, keys, *arguments)
        except NoScriptError:
            return self._client.eval(script, keys, *arguments)

    def _note(self, since: int, *, is_up: bool, why: str = "") -> None:
        """What came of a script that was sent after `since` turns; of later ones it says nothing."""
        if since != self._turns:
            return
        self._asleep_until = 0.0 if is_up else time.monotonic() + PAUSE
        if is_up is self._is_up:
            return
        self._turns += 1
        if not is_up:
            meanwhile = "refused" if self._is_required else "counted by each worker"
            log.error("Redis is away: calls are %s until it is back", meanwhile, extra={"why": why})
        elif self._is_up is False:
            log.warning("Redis is back")
        self._is_up = is_up
        self._metrics.redis_up.set(is_up)
        self._metrics.counting_locally.set(not (is_up or self._is_required))
