"""Receiver: each wait has the whole limit, and nothing is left over from one that ended."""

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from broker.transport.receiver import Receiver


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def receiver(sock: Any, seconds: float) -> Receiver:
    sock.settimeout(seconds)
    return Receiver(sock)


def test_it_waits_for_data(pair: tuple[Any, Any]) -> None:
    near, far = pair
    gevent.spawn_later(0.02, far.send, b"x")
    assert receiver(near, 5.0).receive() == b"x"


def test_each_wait_has_the_whole_limit(pair: tuple[Any, Any]) -> None:
    """Three waits that end in time, longer in sum than the limit; then one that does not."""
    near, far = pair
    receiving = receiver(near, 0.2)
    for _ in range(3):
        gevent.spawn_later(0.1, far.send, b"x")
        assert receiving.receive() == b"x"
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        receiving.receive()
    assert 0.19 <= time.monotonic() - began < 1


def test_a_wait_that_ended_raises_nothing_later(pair: tuple[Any, Any]) -> None:
    """The timer is stopped, also by an exception from outside."""
    near, far = pair
    receiving = receiver(near, 0.05)
    far.send(b"x")
    assert receiving.receive() == b"x"
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        receiving.receive()
    gevent.sleep(0.1)


def test_the_limit_can_change(pair: tuple[Any, Any]) -> None:
    near, far = pair
    receiving = receiver(near, 0.05)
    with pytest.raises(TimeoutError):
        receiving.receive()
    receiving.set_timeout(30.0)
    gevent.spawn_later(0.1, far.send, b"x")
    assert receiving.receive() == b"x"
