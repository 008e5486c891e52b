"""Measurements over a block of code."""

import time

from tests.benchmarks.contestants import Contestant
from tests.benchmarks.process_tree import ProcessTree
from tests.benchmarks.surroundings import Surroundings


class Meter:
    """Processor seconds of a contestant and its surroundings during a block."""

    def __init__(self, around: Surroundings, contestant: Contestant) -> None:
        self._trees = {
            "contestant": contestant.tree,
            "upstream": ProcessTree(around.upstream.pid),
            "redis": around.redis.tree(),
        }
        self._before: dict[str, float] = {}
        self._began = 0.0
        self.spent: dict[str, float] = {}
        self.seconds = 0.0

    def __enter__(self) -> "Meter":
        self._began, self._before = time.monotonic(), self._read()
        return self

    def __exit__(self, *_: object) -> None:
        now = self._read()
        self.spent = {name: now[name] - self._before[name] for name in now}
        self.seconds = time.monotonic() - self._began

    def _read(self) -> dict[str, float]:
        return {name: tree.processor_seconds() if tree else 0.0 for name, tree in self._trees.items()}
