"""The master replaces workers one at a time, and counts only those that accept connections."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from broker.server.master import Master, SharedState


class Server:
    """gunicorn's arbiter with the members that the master uses; workers are numbered from 1."""

    def __init__(self, workers: int) -> None:
        self.num_workers = workers
        self.cfg = SimpleNamespace(graceful_timeout=30)
        self.WORKERS: dict[int, Any] = {}
        self.LISTENERS: list[Any] = []
        self.killed: list[tuple[int, int]] = []
        self.stops: list[bool] = []
        self._last = 0

    def stop(self, graceful: bool) -> None:
        """Record the call."""
        self.stops.append(graceful)

    def spawn_worker(self) -> None:
        """Add a worker."""
        self._last += 1
        self.WORKERS[self._last] = SimpleNamespace(pid=self._last, age=self._last, is_leaving=False)

    def kill_worker(self, pid: int, number: int) -> None:
        """Record the signal."""
        self.killed.append((pid, number))


class DeadWorkers:
    """Fails for every worker; records which ends were expected."""

    def __init__(self) -> None:
        self.expected: dict[int, bool] = {}

    def mark_dead(self, pid: int, *, is_expected: bool) -> float:
        """Like the real method on a damaged file."""
        self.expected[pid] = is_expected
        raise RuntimeError


@pytest.fixture
def server() -> Server:
    return Server(2)


@pytest.fixture
def dead_workers() -> DeadWorkers:
    return DeadWorkers()


@pytest.fixture
def master(server: Server, dead_workers: DeadWorkers) -> Master:
    unused: Any = None
    dead: Any = dead_workers
    made = Master(server, unused, dead)
    made.manage_workers()
    return made


def test_workers_are_replaced_one_at_a_time(server: Server, master: Master) -> None:
    """The new worker starts before the old one stops; the next one waits until the old one has ended."""
    assert sorted(server.WORKERS) == [1, 2]
    assert master.state.request_replacement(2)
    assert not master.state.request_replacement(1)
    master.manage_workers()
    assert sorted(server.WORKERS) == [1, 2, 3]
    assert server.killed == [(2, signal.SIGTERM)]
    master.manage_workers()
    assert server.killed == [(2, signal.SIGTERM)]
    assert not master.state.request_replacement(1)
    master.worker_exited(server.WORKERS.pop(2))
    assert master.state.request_replacement(1)


def test_a_leaving_worker_is_not_counted(server: Server, master: Master) -> None:
    """If an accepting worker dies while another one finishes its answers, a new one starts at once."""
    master.state.request_replacement(1)
    master.manage_workers()
    master.worker_exited(server.WORKERS.pop(3))
    master.manage_workers()
    assert sorted(server.WORKERS) == [1, 2, 4]


def test_the_oldest_workers_leave(server: Server, master: Master) -> None:
    """They leave after a reload with the same number of new ones, and after SIGTTOU. Each gets one signal."""
    server.spawn_worker()
    server.spawn_worker()
    master.manage_workers()
    master.manage_workers()
    assert server.killed == [(1, signal.SIGTERM), (2, signal.SIGTERM)]


def test_a_retired_worker_does_not_block_replacements(server: Server, master: Master) -> None:
    """It may finish its answers for minutes, and has been replaced already when it asks."""
    server.spawn_worker()
    master.manage_workers()
    assert server.killed == [(1, signal.SIGTERM)]
    assert master.state.request_replacement(1)
    master.manage_workers()
    assert master.state.request_replacement(2)
    master.manage_workers()
    assert server.killed == [(1, signal.SIGTERM), (2, signal.SIGTERM)]
    assert sorted(server.WORKERS) == [1, 2, 3, 4]


def test_a_request_of_a_worker_that_died_is_dropped(server: Server, master: Master) -> None:
    """The worker died before the master read its request."""
    master.state.request_replacement(2)
    del server.WORKERS[2]
    master.manage_workers()
    assert master.state.leaving == 0
    assert sorted(server.WORKERS) == [1, 3]


def test_the_workers_know_that_the_master_stops(server: Server, master: Master) -> None:
    """They then have less time than for a replacement."""
    assert not master.state.is_stopping
    server.stop(True)
    assert master.state.is_stopping
    assert server.stops == [True]


def test_only_an_end_without_a_signal_of_the_master_is_a_death(
    server: Server, master: Master, dead_workers: DeadWorkers
) -> None:
    """A reload, the watchdog of the memory and the stop of the broker tell workers to end."""
    master.worker_exited(server.WORKERS.pop(1))
    master.manage_workers()
    master.state.request_replacement(2)
    master.manage_workers()
    master.worker_exited(server.WORKERS.pop(2))
    master.stop()
    master.worker_exited(server.WORKERS.pop(3))
    assert dead_workers.expected == {1: False, 2: True, 3: True}


def test_metrics_that_cannot_be_read_do_not_end_the_master(
    server: Server, master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is one line in the log."""
    master.worker_exited(server.WORKERS.pop(1))
    assert [record.message for record in caplog.records] == ["metrics of a dead worker cannot be read"]


def test_both_values_of_the_state_are_independent() -> None:
    """Each keeps its value when the other one is set."""
    state = SharedState()
    state.set(leaving=4711)
    state.set(is_stopping=True)
    assert (state.is_stopping, state.leaving) == (True, 4711)


def test_two_processes_may_set_one_value_each_at_the_same_time() -> None:
    """A worker that asks for its replacement as the master stops does not undo the stop."""
    for _ in range(5):
        state = SharedState()
        worker = os.fork()
        if worker == 0:
            for _ in range(20_000):
                state.set(leaving=4711)
            os._exit(0)
        while not state.leaving:
            pass
        state.set(is_stopping=True)
        os.waitpid(worker, 0)
        assert (state.is_stopping, state.leaving) == (True, 4711)
