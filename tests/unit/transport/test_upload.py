"""Sending a request's bytes: all of them, however few the kernel takes at once."""

from typing import Any

import gevent
import pytest
from gevent import socket

from broker.transport.upload import AT_ONCE, send


def test_a_small_request_is_sent_whole_to_a_slow_server() -> None:
    near, far = socket.socketpair()
    received = bytearray()

    def read_slowly() -> None:
        while len(received) < AT_ONCE:
            gevent.sleep(0.002)
            received.extend(far.recv(4096))

    data: Any = bytes(range(256)) * (AT_ONCE // 256)
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        reading = gevent.spawn(read_slowly)
        assert send(near, data, 5.0) is None
        reading.join(5)
    assert received == data


def test_a_small_request_to_a_server_that_reads_nothing_times_out() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(TimeoutError):
            send(near, bytes(AT_ONCE), 0.05)
