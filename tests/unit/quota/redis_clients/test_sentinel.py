"""SentinelMaster chooses among the Sentinels' replies."""

import time
from typing import Any

import gevent
import pytest
import redis

from broker.quota.redis_clients.sentinel import SentinelMaster


class FakeSentinel:
    """Names a master with an epoch, fails, or never replies."""

    def __init__(self, epoch: int = 0, port: int = 0, error: Exception | None = None, delay: float = 0.0) -> None:
        self._reply = [b"ip", b"10.0.0.1", b"port", str(port).encode(), b"config-epoch", str(epoch).encode()]
        self._error = error
        self._delay = delay

    def execute_command(self, *command: Any) -> list[bytes]:
        assert command == ("SENTINEL", "MASTER", "mymaster")
        gevent.sleep(self._delay)
        if self._error:
            raise self._error
        return self._reply


def master(*sentinels: FakeSentinel) -> SentinelMaster:
    return SentinelMaster("mymaster", sentinels, lambda address: address, 0.2)  # type: ignore[arg-type]  # stand-ins


def test_the_newest_configuration_is_used() -> None:
    """A Sentinel that is cut off from the others keeps naming the old master."""
    assert master(FakeSentinel(epoch=1, port=1), FakeSentinel(epoch=2, port=2)).connect() == ("10.0.0.1", 2)


def test_a_frozen_sentinel_causes_no_delay_if_a_majority_replies() -> None:
    """A Sentinel that refuses connections causes none either."""
    started = time.monotonic()
    frozen, gone = FakeSentinel(delay=5), FakeSentinel(error=redis.ConnectionError("gone"))
    assert master(frozen, *[FakeSentinel(1, 1)] * 2).address() == ("10.0.0.1", 1)
    assert master(gone, *[FakeSentinel(1, 1)] * 2).address() == ("10.0.0.1", 1)
    assert time.monotonic() - started < 0.2


def test_a_minority_is_used_after_the_time_limit() -> None:
    """The alternative is to refuse every call."""
    assert master(FakeSentinel(delay=5), FakeSentinel(delay=5), FakeSentinel(1, 1)).address() == ("10.0.0.1", 1)


@pytest.mark.parametrize(
    ("sentinel", "error"),
    [
        (FakeSentinel(error=redis.ResponseError("No such master with that name")), redis.ResponseError),
        (FakeSentinel(error=redis.ConnectionError("gone")), redis.ConnectionError),
        (FakeSentinel(delay=5), redis.TimeoutError),
    ],
)
def test_without_any_reply_the_cause_is_raised(sentinel: FakeSentinel, error: type[Exception]) -> None:
    """The error is raised too if no Sentinel knows the service."""
    with pytest.raises(error):
        master(sentinel, sentinel).address()
