"""Kubernetes' HorizontalPodAutoscaler and its pods over time, by the rules of the chart. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details.
"""

import math
from collections import deque
from dataclasses import dataclass, field

SYNC = 15  # seconds between two decisions
TOLERANCE = 0.1  # a ratio within this of 1 changes nothing
UP_EVERY, UP_SHARE, UP_PODS = 30, 1.0, 4  # the larger of the two may start in so many seconds
DOWN_EVERY, DOWN_SHARE, DOWN_PODS = 60, 0.1, 2  # the smaller of the two may end in so many seconds
STABLE = 600  # seconds: the highest recommendation of this window counts on the way down


@dataclass(frozen=True)
class Target:
    """The intended load of one pod, and the bounds of the number of pods."""

    streams: float
    cores: float
    least: int
    most: int


@dataclass
class Autoscaler:
    """Ready, starting and draining pods."""

    target: Target
    start_s: float  # from the decision until a pod is ready
    drain_s: float  # the longest that an ending pod takes for its last answers
    ready: int = 0
    starting: deque[tuple[float, int]] = field(default_factory=deque)
    draining: deque[tuple[float, int]] = field(default_factory=deque)
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.ready = self.ready or self.target.least

    @property
    def pods(self) -> int:
        """Return the pods that the autoscaler counts: ready or starting."""
        return self.ready + sum(count for _, count in self.starting)

    @property
    def running(self) -> int:
        """Return all pods that take cores, draining ones included."""
        return self.pods + sum(count for _, count in self.draining)

    def step(self, now: float, streams: float, cores: float) -> None:
        """Make one decision at `now` (seconds) for this many open streams and busy cores in all ready pods."""
        self._settle(now)
        wanted = self._recommend(streams, cores)
        self._recommended.append((now, wanted))
        while self._recommended[0][0] < now - STABLE:
            self._recommended.popleft()
        if wanted > self.pods:
            self._scale(now, min(wanted, self._up_to(now)))
        else:
            stable = max(count for _, count in self._recommended)
            self._scale(now, max(min(stable, self.pods), self._down_to(now)))

    def _recommend(self, streams: float, cores: float) -> int:
        """Return the larger recommendation of the two metrics, within the bounds."""
        counts = []
        for load, of_one in ((streams, self.target.streams), (cores, self.target.cores)):
            ratio = load / self.ready / of_one
            counts.append(self.pods if abs(ratio - 1) <= TOLERANCE else math.ceil(self.ready * ratio))
        return min(self.target.most, max(self.target.least, *counts))

    def _up_to(self, now: float) -> int:
        begun = self.pods - self._changed(now, UP_EVERY, 1)
        return max(math.ceil(begun * (1 + UP_SHARE)), begun + UP_PODS)

    def _down_to(self, now: float) -> int:
        begun = self.pods - self._changed(now, DOWN_EVERY, -1)
        return max(int(begun * (1 - DOWN_SHARE)), begun - DOWN_PODS)

    def _changed(self, now: float, within: float, sign: int) -> int:
        """Return the signed number of pods started (1) or ended (-1) in the last `within` seconds."""
        while self._changes and self._changes[0][0] <= now - max(UP_EVERY, DOWN_EVERY):
            self._changes.popleft()
        return sum(count for at, count in self._changes if at > now - within and count * sign > 0)

    def _scale(self, now: float, wanted: int) -> None:
        change = wanted - self.pods
        if change > 0:
            self.starting.append((now + self.start_s, change))
        elif change < 0:
            change = max(change, self.target.least - self.ready)
            self.ready += change
            self.draining.append((now + self.drain_s, -change))
        if change:
            self._changes.append((now, change))

    def _settle(self, now: float) -> None:
        while self.starting and self.starting[0][0] <= now:
            self.ready += self.starting.popleft()[1]
        while self.draining and self.draining[0][0] <= now:
            self.draining.popleft()
