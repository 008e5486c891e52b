"""Figure 9: what a connection to OpenAI costs, and the first token with a network of 30 ms between.

Measures the broker's own transport, without the rest of the broker. A relay delays each direction by half of the round
trip. The kernel answers TCP's own handshake at once, so that round trip is added to those of a new connection.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
from gevent import socket
from gevent.queue import Queue
from gevent.server import StreamServer
from urllib3 import Timeout

from broker.transport.connections import Exchanges
from broker.transport.connector import Connector
from broker.transport.options import Options
from tests.benchmarks.contestants import Origin
from tests.benchmarks.payloads import TOKEN_MARK, Plan

Values = dict[str, float]
ROUND_TRIP = 0.030  # seconds
TRIES = 5
LIMIT = 10.0  # seconds for a connection, and for an answer
PATH = "/v1/chat/completions"
NEW, RESUMED = "a new connection", "a new connection that resumes a session"
KEPT, AHEAD = "a kept connection", "a connection opened ahead"


class _Distance:
    """Forwards connections to a port on loopback, each byte half a round trip later."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server = StreamServer(("127.0.0.1", 0), self._connect)
        self._server.start()
        self.port = int(self._server.address[1])

    def close(self) -> None:
        """Accept no new connections."""
        self._server.stop()

    def _connect(self, client: Any, _: object) -> None:
        server = socket.create_connection(("127.0.0.1", self._to_port))
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.joinall([gevent.spawn(_forward, *ends) for ends in ((client, server), (server, client))])


def _forward(source: Any, target: Any) -> None:
    on_the_way: Queue[tuple[float, bytes]] = Queue()
    gevent.spawn(_deliver, on_the_way, target)
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            on_the_way.put((time.monotonic() + ROUND_TRIP / 2, data))
    on_the_way.put((0.0, b""))


def _deliver(on_the_way: "Queue[tuple[float, bytes]]", target: Any) -> None:
    with contextlib.suppress(OSError):
        for arrives_at, data in iter(on_the_way.get, (0.0, b"")):
            gevent.sleep(max(0.0, arrives_at - time.monotonic()))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def connections(origin: Origin, count: int) -> Iterator[tuple[str, Values]]:
    """Yield the values of each kind of connection to the stand-in.

    The processor time is that of `count` connections without the relay, the time that of the fastest of `TRIES`.
    """
    options = Options(ca_file=origin.authority)
    distance = _Distance(origin.port)
    costs = _processor_ms(origin, options, count)
    try:
        url = replace(origin, port=distance.port).url
        tries = [_first_tokens(url, options) for _ in range(TRIES)]
        for name in tries[0]:
            seconds = min(one[name] for one in tries)
            handshake = 1 if name in costs else 0
            trips = round(seconds / ROUND_TRIP) + handshake
            first = (seconds + handshake * ROUND_TRIP) * 1e3
            yield name, {"first_ms": first, "round_trips": trips, "processor_ms": costs.get(name, 0.0)}
    finally:
        distance.close()


def _processor_ms(origin: Origin, options: Options, count: int) -> dict[str, float]:
    """Milliseconds of processor time for opening a connection."""
    exchanges = Exchanges(origin.url, options)
    _first_token(exchanges, is_whole=True)
    connector = Connector(origin.url, options)
    return {
        NEW: _each(lambda: connector.open(LIMIT).close(), count),
        RESUMED: _each(lambda: exchanges.pool.open(LIMIT).close(), count),
    }


def _each(act: Callable[[], object], count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - began) / count * 1e3


def _first_tokens(url: str, options: Options) -> dict[str, float]:
    """Return the seconds to the first token for each kind of connection."""
    exchanges, ahead = Exchanges(url, options), Exchanges(url, replace(options, warm=1))
    seconds = {NEW: _first_token(exchanges, is_whole=True)}
    exchanges.pool.close()
    seconds[RESUMED] = _first_token(exchanges, is_whole=True)
    seconds[KEPT] = _first_token(exchanges, is_whole=True)
    exchanges.pool.close()
    busy, _ = ahead.pool.take(LIMIT)
    while not len(ahead.pool):
        gevent.sleep(0.01)
    seconds[AHEAD] = _first_token(ahead, is_whole=False)
    busy.close()
    ahead.pool.close()
    return seconds


def _first_token(exchanges: Exchanges, *, is_whole: bool) -> float:
    """Seconds to the first token of a stream. `is_whole`: then read on to the end, so that the connection is kept."""
    content = json.dumps({"messages": [{"role": "user", "content": Plan(2, 1000.0).prompt()}]}).encode()
    began = time.monotonic()
    response = exchanges.urlopen("POST", PATH, body=content, headers={}, timeout=Timeout(connect=LIMIT, read=LIMIT))
    piece = response.read1()
    while TOKEN_MARK not in piece:
        piece = response.read1()
    seconds = time.monotonic() - began
    while is_whole and response.read1():
        pass
    response.close()
    return seconds
