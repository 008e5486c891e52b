"""Finds the master of a Sentinel service: https://redis.io/docs/latest/develop/reference/sentinel-clients/."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gevent
import redis
from gevent.queue import Queue

from broker.quota.redis_clients.single import RedisClient

Address = tuple[str, int]
Result = TypeVar("Result")


class SentinelMaster:
    """Opens connections to the current master."""

    def __init__(
        self, service: str, sentinels: Sequence[RedisClient], connect_to: Callable[[Address], Any], limit: float
    ) -> None:
        """`limit`: seconds to wait for the Sentinels' replies."""
        self._command = ("SENTINEL", "MASTER", service)
        self._sentinels = sentinels
        self._connect_to = connect_to
        self._limit = limit

    def connect(self) -> Any:
        """Open a connection. Raises `redis.RedisError`."""
        return self._connect_to(self.address())

    def address(self) -> Address:
        """Ask all Sentinels at once; return the master of the reply with the newest configuration epoch.

        A Sentinel that is cut off from the others keeps naming the old master, with an older epoch. The replies of a
        majority are enough, so that one frozen Sentinel causes no delay. Raises `redis.ConnectionError`.
        """
        asking = [functools.partial(sentinel.execute_command, *self._command) for sentinel in self._sentinels]
        replies = first_results(asking, len(asking) // 2 + 1, self._limit)
        _, address = max(_epoch_and_address(reply) for reply in replies)
        return address


def first_results(calls: Sequence[Callable[[], Result]], enough: int, limit: float) -> list[Result]:
    """Make all calls at once. Return the first `enough` results, or fewer after `limit` seconds.

    Raises the failure of one of them, a `redis.RedisError` or `OSError`, if there is no result.
    """
    outcomes: Queue[Any] = Queue()
    greenlets = [gevent.spawn(_put_outcome, call, outcomes) for call in calls]
    results: list[Result] = []
    failure: Exception = redis.TimeoutError("no reply in time")
    with contextlib.suppress(gevent.Timeout), gevent.Timeout(limit):
        for _ in calls:
            succeeded, outcome = outcomes.get()
            if succeeded:
                results.append(outcome)
            else:
                failure = outcome
            if len(results) == enough:
                break
    gevent.killall(greenlets, block=False)
    if not results:
        raise failure
    return results


def _put_outcome(call: Callable[[], Any], outcomes: "Queue[Any]") -> None:
    try:
        outcomes.put((True, call()))
    except (redis.RedisError, OSError) as error:
        outcomes.put((False, error))


def _epoch_and_address(reply: list[bytes]) -> tuple[int, Address]:
    """Read the reply to SENTINEL MASTER, a flat list of names and values."""
    facts = {name.decode(): value.decode() for name, value in zip(reply[::2], reply[1::2], strict=False)}
    return int(facts.get("config-epoch", 0)), (facts["ip"], int(facts["port"]))
