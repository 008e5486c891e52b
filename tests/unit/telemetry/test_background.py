"""Background tasks: restarted after any exception, logged once, counted, reported while they keep failing."""

import threading
import time
from collections.abc import Callable

import pytest

from broker.telemetry import background
from broker.telemetry.background import Background


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.005)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


class Flaky:
    """Raises `failures` times, then runs until the test ends it."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.done = threading.Event()
        self.is_running = False

    def __call__(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise RuntimeError("planted secret")
        self.is_running = True
        self.done.wait(10)


def test_a_task_that_raises_is_restarted(caplog: pytest.LogCaptureFixture) -> None:
    """The log has one line for the series, the counter every restart."""
    restarts: list[tuple[str, int]] = []
    supervisor, task = Background(lambda name, times: restarts.append((name, times))), Flaky(20)
    supervisor.run("keys", task)
    wait_for(lambda: task.is_running)
    task.done.set()
    assert restarts == [("keys", 0)] + [("keys", 1)] * 20  # the counter shows 0 before the first restart
    (line,) = (record for record in caplog.records if record.name == background.__name__)
    assert (line.message, line.task) == ("background task failed and is restarted", "keys")  # type: ignore[attr-defined]


def test_a_task_that_keeps_failing_is_reported() -> None:
    """It is reported after three failures in a row, a vital one as such. A task that ended is not."""
    supervisor = Background()
    harmless, vital = Flaky(3), Flaky(3)
    supervisor.run("catalogue", harmless)
    supervisor.run("writes", vital, is_vital=True)
    wait_for(lambda: harmless.is_running and vital.is_running)
    assert supervisor.failing() == ["catalogue", "writes"]
    assert supervisor.failing(only_vital=True) == ["writes"]
    for task in (harmless, vital):
        task.done.set()
    wait_for(lambda: supervisor.failing() == [])


def test_single_failures_are_not_reported() -> None:
    """A task may fail now and then."""
    supervisor, task = Background(), Flaky(2)
    supervisor.run("keys", task)
    wait_for(lambda: task.is_running)
    assert supervisor.failing() == []
    task.done.set()


def test_a_steady_task_is_healthy_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is healthy after `STEADY` seconds without a failure; the next failure is logged again."""
    supervisor, task = Background(), Flaky(3)
    supervisor.run("keys", task)
    wait_for(lambda: task.is_running)
    assert supervisor.failing() == ["keys"]
    monkeypatch.setattr(background, "STEADY", 0.0)
    assert supervisor.failing() == []
    task.left, task.is_running = 1, False
    task.done.set()
    wait_for(lambda: len(caplog.records) == 1)


class Foreground:
    """A thread that runs its target in `start`."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


def test_the_pause_grows_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles with each failure in a row."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.5)
    monkeypatch.setattr(threading, "Thread", Foreground)
    task = Flaky(5)
    task.done.set()
    Background().run("keys", task)
    assert pauses == [0.1, 0.2, 0.4, 0.5, 0.5]


def test_tasks_of_one_name_end_independently() -> None:
    """Two tasks of one name are separate, even if one has failed since and ends last."""
    tasks, first, second = Background(), Flaky(0), Flaky(0)
    tasks.run("writer", first)
    tasks.run("writer", second)
    wait_for(lambda: first.is_running and second.is_running)
    second.done.set()
    wait_for(lambda: len(tasks._tasks) == 1)
    tasks._tasks[0].failures += 1
    first.done.set()

    wait_for(lambda: tasks._tasks == [])
