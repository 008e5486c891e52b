"""Supervises background tasks: a task that raises is logged once, counted, and restarted with back-off.

One object per worker runs them all, so that `/ready` and the metrics can report tasks that keep failing.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1  # seconds before the first restart; doubles with each failure in a row
LONGEST_PAUSE = 10.0  # seconds
STEADY = 30.0  # seconds without a failure after which a task counts as healthy again
FAILING = 3  # failures in a row after which a task is reported

Work = Callable[[], object]


@dataclass(eq=False)
class _Task:
    """The failures in a row of one task, and the time of the last one."""

    name: str
    is_vital: bool
    failures: int = 0
    failed_at: float = -STEADY

    @property
    def is_steady(self) -> bool:
        return time.monotonic() - self.failed_at >= STEADY

    @property
    def is_failing(self) -> bool:
        return self.failures >= FAILING and not self.is_steady

    def note_failure(self, error: Exception) -> None:
        if self.is_steady:
            self.failures = 0
            log.error("background task failed and is restarted", exc_info=error, extra={"task": self.name})
        self.failures += 1
        self.failed_at = time.monotonic()

    @property
    def pause(self) -> float:
        """Seconds until the restart."""
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self.failures - 1))


class Background:
    """The background tasks of one process. Built before the fork; tasks start after it."""

    def __init__(self, count_restarts: Callable[[str, int], object] = lambda _, __: None) -> None:
        """`count_restarts` is called with a task's name and 0 when it starts, and 1 at each restart."""
        self._count_restarts = count_restarts
        self._tasks: list[_Task] = []

    def run(self, name: str, work: Work, *, is_vital: bool = False) -> None:
        """Run `work` in a thread (in a worker, a greenlet) until it returns; restart it when it raises.

        `is_vital`: the worker must not serve while this task keeps failing.
        """
        task = _Task(name, is_vital)
        self._tasks.append(task)
        self._count_restarts(name, 0)
        threading.Thread(target=functools.partial(self._supervise, task, work), name=name, daemon=True).start()

    def failing(self, *, only_vital: bool = False) -> list[str]:
        """The names of the tasks that keep failing."""
        return sorted({task.name for task in self._tasks if task.is_failing and (task.is_vital or not only_vital)})

    def _supervise(self, task: _Task, work: Work) -> None:
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a task may fail in any way, and is logged
                task.note_failure(error)
                self._count_restarts(task.name, 1)
                time.sleep(task.pause)
            else:
                self._tasks.remove(task)
                return
