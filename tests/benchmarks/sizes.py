"""How much is asked of a contestant: what it can bear."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """One contestant's measure of work."""

    warm_up: int = 300  # calls before anything is measured
    call_connections: int = 32
    call_seconds: float = 3.0
    single_calls: int = 500
    streams: int = 200
    stream_tokens: int = 400
    stream_pace: float = 50.0  # tokens a second
    stream_starts: float = 200.0  # a second
    clump: int = 10  # most tokens in one write
    open_streams: tuple[int, ...] = (1_000, 5_000)
    open_starts: float = 250.0  # a second
    open_seconds: float = 5.0  # watched once all are open


FULL = Sizes()
QUICK = Sizes(call_seconds=1.5, single_calls=200, stream_tokens=150, open_streams=(1_000,), open_seconds=3.0)
TINY = Sizes(
    warm_up=5, call_connections=2, call_seconds=0.2, single_calls=10, streams=4, stream_tokens=20, stream_pace=100,
    open_streams=(10,), open_seconds=0.3,
)  # fmt: skip
