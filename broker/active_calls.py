"""The calls that are under way in this worker, and what breaks into their waiting.

While OpenAI is silent, nobody writes to the client, and so nobody notices that it has left. Here
one greenlet watches every client's socket, and throws a fault into the greenlet that waits for
OpenAI: `ClientLeft` when the client hangs up, `OpenAITimeout` when the call has taken too long,
`WorkerStopping` when the worker has to go.
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
LAST_WRITE = 1.0  # seconds that the client of a call that has to end is given to take what it was sent
_HUNG_UP = getattr(select, "EPOLLRDHUP", 0x2000) | 0x10 | 0x8  # RDHUP, HUP, ERR


class OpenCall:
    """One call; `with call:` surrounds each wait for OpenAI, and only there a fault is thrown in."""

    def __init__(self, client: socket.socket | None, within: float, calls: "OpenCalls") -> None:
        self.number = client.fileno() if client is not None else None
        self._client = client
        self._calls = calls
        self._fault: Fault | None = None
        self._waiting: Any = None
        self._is_closed = False
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
        """Surrounds a wait that ends with a `fault` after so many seconds."""
        timer = gevent.get_hub().loop.timer(seconds)
        timer.start(self._end_with, fault)
        try:
            with self:
                yield
        finally:
            timer.close()

    def leave_behind(self, work: Callable[[], None]) -> None:
        """Have `work` done, and raise what it raises; it is done to its end, also where this call ends before it."""
        doing = gevent.spawn(_outcome, work)
        with self:
            error = doing.get()
        if error is not None:
            raise error

    def interrupt(self, fault: Fault) -> None:
        """End the call with `fault`: at once where it waits, else when it next does. Called in the event loop.

        A call that waits for its client, who takes nothing, comes to no such place: it is cut off.
        """
        self._fault = self._fault or fault
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.throw(self._fault)
        elif not self._is_closed:
            self._timer.stop()
            self._timer = gevent.get_hub().loop.timer(LAST_WRITE)
            self._timer.start(self._hang_up)

    def _end_with(self, fault: type[Fault]) -> None:
        self.interrupt(fault())

    def stop_listening(self) -> None:
        """Whatever the client still sends is not a request: the connection ends with this answer."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Watch no longer. May be called twice."""
        self._is_closed = True
        self._timer.close()
        self._calls.forget(self)

    def _hang_up(self) -> None:
        if self._client is not None and not self._is_closed:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)


def _outcome(work: Callable[[], None]) -> Exception | None:
    """What `work` raises, as a value: of a greenlet that fails, gevent writes the traceback."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whoever waits for it raises it
        return error
    return None


class OpenCalls:
    """All open calls of this worker; built before the fork, watching begins with the first call."""

    def __init__(self, within: float, at_once: int = 8000) -> None:
        """`within`: seconds that a call may take as a whole; `at_once`: how many there may be."""
        self._within = within
        self._at_once = at_once
        self._open: set[OpenCall] = set()
        self._by_socket: dict[int, OpenCall] = {}
        self._watch: Any = None

    def begin(self, client: socket.socket | None) -> OpenCall:
        """A call begins for the client on this socket; None where the server does not tell it.

        Raises `WorkerBusy` where there are as many as there may be.
        """
        if len(self._open) >= self._at_once:
            raise WorkerBusy(retry_after=1)
        call = OpenCall(client, self._within, self)
        self._open.add(call)
        if call.number is not None:
            self._watched().register(call.number, _HUNG_UP)
            self._by_socket[call.number] = call
        return call

    def forget(self, call: OpenCall) -> None:
        """The call is over."""
        self._open.discard(call)
        if call.number is not None and self._by_socket.get(call.number) is call:
            del self._by_socket[call.number]
            with contextlib.suppress(OSError):  # closed meanwhile: then the kernel has forgotten it
                self._watched().unregister(call.number)

    def stop(self) -> None:
        """The worker has to go: end every open call with `WorkerStopping`."""
        for call in list(self._open):
            self._break_into(call, WorkerStopping())

    def __len__(self) -> int:
        return len(self._open)

    def _watched(self) -> Any:
        if self._watch is None:
            # gevent hides epoll, lest somebody block in it; here it is only asked once it has something to tell
            self._watch = monkey.get_original("select", "epoll")()
            gevent.spawn(self._notice_departures)
        return self._watch

    def _notice_departures(self) -> None:
        while True:
            gevent.socket.wait_read(self._watch.fileno())
            for number, _ in self._watch.poll(0):
                self._watch.unregister(number)
                if call := self._by_socket.pop(number, None):
                    self._break_into(call, ClientLeft())

    def _break_into(self, call: OpenCall, fault: Fault) -> None:
        gevent.get_hub().loop.run_callback(call.interrupt, fault)
