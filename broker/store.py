"""Redis, asked with scripts, and what happens when it is away.

A Redis that failed is left alone for `PAUSE` seconds, in which every call is refused at once; then
one call tries it again. So a frozen Redis costs one time-out a second, not one a call. The log says
when it goes and when it is back, not more.
"""

import hashlib
import logging
import threading
import time
from typing import Any

from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from broker.faults import UsageUnavailable
from broker.metrics import Metrics
from broker.redis_urls import Client

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds for which a Redis that failed is not asked again
AT_ONCE = 64  # scripts under way at once per worker; more wait their turn


class Store:
    """One Redis. Built before the fork; connects with the first script."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._digests: dict[str, str] = {}
        self._asleep_until = 0.0
        self._is_up: bool | None = None

    def run(self, script: str, arguments: tuple[Any, ...]) -> Any:
        """The answer of `script` for the key `arguments[0]` and the values behind it.

        Raises `UsageUnavailable` where Redis does not answer, or cannot write.
        """
        with self._places:
            self._refuse_if_asleep()
            try:
                answer = self._evaluate(script, arguments)
            except (RedisError, RedisClusterException, OSError) as error:
                self._note(is_up=False, why=type(error).__name__)
                raise UsageUnavailable(retry_after=PAUSE) from None
        self._note(is_up=True)
        return answer

    def _refuse_if_asleep(self) -> None:
        now = time.monotonic()
        if now < self._asleep_until:
            raise UsageUnavailable(retry_after=PAUSE)
        if self._is_up is False:
            self._asleep_until = now + PAUSE  # this call tries; the others are refused meanwhile

    def _evaluate(self, script: str, arguments: tuple[Any, ...]) -> Any:
        digest = self._digests.get(script)
        if digest is None:
            # Redis names scripts by it: https://redis.io/docs/latest/commands/evalsha/
            digest = self._digests[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return self._client.evalsha(digest, 1, *arguments)
        except NoScriptError:
            return self._client.eval(script, 1, *arguments)

    def _note(self, *, is_up: bool, why: str = "") -> None:
        self._asleep_until = 0.0 if is_up else time.monotonic() + PAUSE
        if is_up is self._is_up:
            return
        if not is_up:
            log.error("Redis is away: calls are refused until it is back", extra={"why": why})
        elif self._is_up is False:
            log.warning("Redis is back")
        self._is_up = is_up
        self._metrics.redis_up.set(is_up)
