"""The calls under way in this worker, and how their waits are interrupted.

While OpenAI is silent nothing is written to the client, so a closed connection would go unnoticed. One
greenlet therefore watches every client's socket and throws a fault into the greenlet that waits for OpenAI:
`ClientLeft` when the client disconnects, `OpenAITimeout` when the call takes too long, `WorkerStopping` when
the worker stops. `CallerBlocked` ends the calls of a user who is blocked.
"""

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import gevent
import gevent.socket
from gevent import monkey

from broker.errors.base import ClientLeft, Fault, WorkerStopping
from broker.errors.limits import WorkerBusy
from broker.errors.openai import OpenAITimeout

# A client that has shut down its sending side counts as gone, as it does for nginx.
LAST_WRITE = 1.0  # seconds that the client of an interrupted call has to read what was already sent
_HUNG_UP = getattr(select, "EPOLLRDHUP", 0x2000) | 0x10 | 0x8  # RDHUP, HUP, ERR

Spawn = Callable[[Callable[[], object]], object]


class OpenCall:
    """One call. Faults are thrown only inside `with call:`, which surrounds each wait for OpenAI."""

    def __init__(self, client: socket.socket | None, within: float, calls: "OpenCalls") -> None:
        self.number = client.fileno() if client is not None else None
        self._client = client
        self._calls = calls
        self._fault: Fault | None = None
        self._waiting: Any = None
        self._is_closed = False
        self.awaits_openai = False  # whether OpenAI has the request and may be working on it
        self.user = ""  # the caller's id, once it is known
        self._timer = gevent.get_hub().loop.timer(within)
        self._timer.start(self._end_with, OpenAITimeout)

    def __enter__(self) -> Self:
        if self._fault:
            raise self._fault
        self._waiting = gevent.getcurrent()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting = None

    @contextlib.contextmanager
    def at_most(self, seconds: float, fault: type[Fault]) -> Iterator[None]:
        """Limit the wait inside to `seconds`, after which `fault` is raised."""
        timer = gevent.get_hub().loop.timer(seconds)
        timer.start(self._end_with, fault)
        try:
            with self:
                yield
        finally:
            timer.close()

    def run_detached(self, work: Callable[[], None]) -> None:
        """Run `work` in its own greenlet; it completes even if this call is interrupted. Raises what `work` raises."""
        running = gevent.spawn(_outcome, work)
        with self:
            error = running.get()
        if error is not None:
            raise error

    def interrupt(self, fault: Fault) -> None:
        """End the call with `fault`: now if it is waiting, otherwise at its next wait. Called in the event loop.

        A call that is blocked writing to its client never reaches a wait: its connection is shut down.
        """
        self._fault = self._fault or fault
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.throw(self._fault)
        elif not self._is_closed:
            self._timer.stop()
            self._timer = gevent.get_hub().loop.timer(LAST_WRITE)
            self._timer.start(self._disconnect)

    def _end_with(self, fault: type[Fault]) -> None:
        self.interrupt(fault())

    @property
    def is_interrupted(self) -> bool:
        """Whether a fault ends this call."""
        return self._fault is not None

    def stop_listening(self) -> None:
        """Discard further input: the connection ends with this response."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Stop watching. May be called twice."""
        self._is_closed = True
        self._timer.close()
        self._calls.forget(self)

    def _disconnect(self) -> None:
        if self._client is not None and not self._is_closed:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)


def _outcome(work: Callable[[], None]) -> Exception | None:
    """Return what `work` raises. gevent would print the traceback of a greenlet that fails."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the waiting call raises it
        return error
    return None


class OpenCalls:
    """All open calls of this worker. Built before the fork; watching begins with the first call."""

    def __init__(self, within: float, at_once: int = 8000, spawn: Spawn = gevent.spawn) -> None:
        """`within`: the time limit of a whole call, in seconds; `at_once`: the most concurrent calls.

        `spawn` runs a function in its own greenlet.
        """
        self._within = within
        self._at_once = at_once
        self._spawn = spawn
        self._open: set[OpenCall] = set()
        self._by_socket: dict[int, OpenCall] = {}
        self._poll: Any = None

    def begin(self, client: socket.socket | None) -> OpenCall:
        """Register a call for the client on this socket, None if the server does not expose it.

        Raises `WorkerBusy` at the limit of concurrent calls.
        """
        if len(self._open) >= self._at_once:
            raise WorkerBusy(retry_after=1)
        call = OpenCall(client, self._within, self)
        self._open.add(call)
        if call.number is not None:
            self._epoll().register(call.number, _HUNG_UP)
            self._by_socket[call.number] = call
        return call

    def forget(self, call: OpenCall) -> None:
        """Remove a finished call."""
        self._open.discard(call)
        if call.number is not None and self._by_socket.get(call.number) is call:
            del self._by_socket[call.number]
            with contextlib.suppress(OSError):  # closed in the meantime: the kernel has removed it
                self._epoll().unregister(call.number)

    def stop(self) -> None:
        """End every open call with `WorkerStopping`."""
        for call in list(self._open):
            self._interrupt_soon(call, WorkerStopping())

    def has_users(self) -> bool:
        """Whether a call is open whose caller is known."""
        return any(call.user for call in self._open)

    def end_calls_of(self, users: frozenset[str], fault: type[Fault]) -> None:
        """End the open calls of these users with `fault`. A call that ends already is left alone."""
        for call in list(self._open):
            if call.user in users and not call.is_interrupted:
                self._interrupt_soon(call, fault())

    def __len__(self) -> int:
        return len(self._open)

    def _epoll(self) -> Any:
        if self._poll is None:
            # gevent hides epoll because it blocks; here it is polled only after it is readable
            self._poll = monkey.get_original("select", "epoll")()
            self._spawn(self._watch_clients)
        return self._poll

    def _watch_clients(self) -> None:
        while True:
            gevent.socket.wait_read(self._poll.fileno())
            for number, _ in self._poll.poll(0):
                self._poll.unregister(number)
                if call := self._by_socket.pop(number, None):
                    self._interrupt_soon(call, ClientLeft())

    def _interrupt_soon(self, call: OpenCall, fault: Fault) -> None:
        gevent.get_hub().loop.run_callback(call.interrupt, fault)
