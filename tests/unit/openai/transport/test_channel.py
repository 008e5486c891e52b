"""A connected socket and its waits: only what is waited for wakes anybody, and only then."""

import socket
import time
from collections.abc import Iterator
from threading import Thread

import gevent
import pytest

from broker.openai.transport.channel import Channel

MUCH = b"x" * 5_000_000  # more than the network holds


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel that has waited once, and its peer."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    channel.set_timeout(5)
    gevent.spawn_later(0.01, theirs.send, b"a")
    assert channel.receive() == b"a"
    yield channel, theirs
    channel.close()
    theirs.close()


def test_what_comes_while_nobody_waits_keeps_nobody_busy(ends: tuple[Channel, socket.socket]) -> None:
    """And is there when it is asked for."""
    channel, theirs = ends
    theirs.send(b"b")
    began = time.process_time()
    gevent.sleep(0.3)
    assert time.process_time() - began < 0.1
    assert channel.receive() == b"b"


def test_what_comes_while_the_peer_takes_nothing_keeps_nobody_busy(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    sending = gevent.spawn(channel.send, MUCH)
    theirs.send(b"b")
    began = time.process_time()
    gevent.sleep(0.3)
    assert time.process_time() - began < 0.1
    assert not sending.dead
    taken: list[bytes] = []
    taking = Thread(target=lambda: taken.extend(iter(lambda: theirs.recv(65_536), b"")), daemon=True)
    taking.start()
    sending.get(timeout=5)
    assert channel.receive() == b"b"
    channel.close()
    taking.join(5)
    assert b"".join(taken) == MUCH


def test_a_wait_that_is_broken_into_wakes_nobody_later(ends: tuple[Channel, socket.socket]) -> None:
    """Whoever waits next is woken by what they wait for."""
    channel, theirs = ends
    waiting = gevent.spawn(channel.receive)
    gevent.sleep(0.01)
    waiting.kill()
    theirs.send(b"b")
    gevent.sleep(0.01)
    assert channel.receive() == b"b"
    gevent.spawn_later(0.01, theirs.send, b"c")
    assert channel.receive() == b"c"
    channel.set_timeout(0.05)
    with pytest.raises(TimeoutError):
        channel.receive()
