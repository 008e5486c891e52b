"""Interruptions of a call: its client leaves, its time limit, its worker stops."""

import socket
from collections.abc import Iterator

import gevent
import pytest

from broker.active_calls import OpenCall, OpenCalls
from broker.errors.base import ClientLeft, Fault, TokenInvalid, WorkerStopping
from broker.errors.openai import OpenAITimeout

ENDLESS = 60.0  # seconds of a wait that must be interrupted


@pytest.fixture(autouse=True)
def _clock() -> None:
    """Update the event loop's clock, which stands still between tests."""
    gevent.get_hub().loop.update_now()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end, and ours."""
    theirs, ours = socket.socketpair()
    yield theirs, ours
    theirs.close()
    ours.close()


def pass_a_moment() -> None:
    """Wait 60 ms in three steps: after a pause of the machine, a timer may fire before a socket event."""
    for _ in range(3):
        gevent.sleep(0.02)


def wait_in(call: OpenCall, seconds: float = ENDLESS) -> Fault | None:
    """The fault that interrupts a wait, or None."""
    try:
        with call:
            gevent.sleep(seconds)
    except Fault as fault:
        return fault
    return None


def test_a_client_that_leaves_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    """The wait ends at once, even while OpenAI is silent."""
    theirs, ours = pair
    calls = OpenCalls(within=60)
    call = calls.begin(ours)
    waiting = gevent.spawn(wait_in, call)
    pass_a_moment()
    theirs.close()
    pass_a_moment()
    assert isinstance(waiting.get(block=False), ClientLeft)
    call.close()


def test_a_client_that_sends_more_has_not_left(pair: tuple[socket.socket, socket.socket]) -> None:
    """A pipelined request does not end the call."""
    theirs, ours = pair
    call = OpenCalls(within=60).begin(ours)
    waiting = gevent.spawn(wait_in, call, seconds=1.0)
    pass_a_moment()
    theirs.send(b"GET / HTTP/1.1\r\n\r\n")
    assert waiting.get() is None
    call.close()


def test_a_client_that_leaves_between_two_waits_ends_the_next(pair: tuple[socket.socket, socket.socket]) -> None:
    """Faults are not thrown outside of waits."""
    theirs, ours = pair
    call = OpenCalls(within=60).begin(ours)
    pass_a_moment()
    theirs.close()
    pass_a_moment()
    with pytest.raises(ClientLeft), call:
        pytest.fail("the wait began")
    call.close()


def test_detached_work_runs_to_its_end() -> None:
    """It runs even if the call is interrupted; otherwise the call raises what the work raises."""
    done: list[str] = []

    def work() -> None:
        gevent.sleep(0.05)
        done.append("done")
        raise TokenInvalid

    with pytest.raises(OpenAITimeout):
        OpenCalls(within=0.01).begin(None).run_detached(work)
    assert not done
    pass_a_moment()
    assert done == ["done"]
    with pytest.raises(TokenInvalid):
        OpenCalls(within=60).begin(None).run_detached(work)


def test_a_call_has_a_time_limit() -> None:
    """The limit covers all waits together."""
    call = OpenCalls(within=0.05).begin(None)
    waiting = gevent.spawn(wait_in, call)
    gevent.sleep(0.05)
    pass_a_moment()
    assert isinstance(waiting.get(block=False), OpenAITimeout)
    call.close()


def test_a_worker_that_stops_ends_every_call() -> None:
    """Each call ends at its next wait, with the same fault."""
    calls = OpenCalls(within=60)
    opened = [calls.begin(None) for _ in range(3)]
    waiting = [gevent.spawn(wait_in, call) for call in opened]
    pass_a_moment()
    calls.stop()
    pass_a_moment()
    assert [type(one.get(block=False)) for one in waiting] == [WorkerStopping] * 3
    for call in opened:
        call.close()
    assert len(calls) == 0


def test_a_closed_call_is_not_interrupted(pair: tuple[socket.socket, socket.socket]) -> None:
    """The system reuses file descriptors."""
    theirs, ours = pair
    calls = OpenCalls(within=0.02)
    calls.begin(ours).close()
    second = OpenCalls(within=60).begin(None)
    theirs.close()
    pass_a_moment()
    assert wait_in(second, seconds=1.0) is None
    assert len(calls) == 0
    second.close()


def test_closing_twice_does_not_forget_another_call(pair: tuple[socket.socket, socket.socket]) -> None:
    """The second request on a kept-alive connection has the same socket."""
    theirs, ours = pair
    calls = OpenCalls(within=60)
    first = calls.begin(ours)
    first.close()
    second = calls.begin(ours)
    first.close()
    waiting = gevent.spawn(wait_in, second)
    pass_a_moment()
    theirs.close()
    pass_a_moment()
    assert isinstance(waiting.get(block=False), ClientLeft)
    second.close()


def test_the_calls_of_some_users_end_once() -> None:
    """A call that ends already keeps its fault, and the time in which its client may read the last line."""
    calls = OpenCalls(within=ENDLESS)
    ada, grace = calls.begin(None), calls.begin(None)
    ada.user, grace.user = "ada", "grace"
    calls.end_calls_of(frozenset({"ada"}), TokenInvalid)
    gevent.sleep(0.01)
    assert (ada.is_interrupted, grace.is_interrupted) == (True, False)
    timer = ada._timer
    calls.end_calls_of(frozenset({"ada"}), WorkerStopping)
    gevent.sleep(0.01)
    assert ada._timer is timer
    with pytest.raises(TokenInvalid), ada:
        pass
    ada.close()
    grace.close()
