"""The amount of load for each contestant."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """The load for one contestant."""

    warm_up: int = 300  # calls before the measurement
    call_connections: int = 32
    call_seconds: float = 2.0
    single_calls: int = 500
    streams: int = 200
    stream_tokens: int = 400
    stream_pace: float = 50.0  # tokens a second
    stream_starts: float = 200.0  # a second
    clump: int = 10  # most tokens in one write
    open_streams: tuple[int, ...] = (1_000, 3_000)  # at one token a second each
    open_starts: float = 250.0  # a second
    open_seconds: float = 2.5  # measured once all are open, and again with calls
    open_margin: float = 2.0  # extra seconds open while a load generator starts
    growing_streams: tuple[int, ...] = (10, 100, 1_000)
    growing_tokens: float = 5_000.0  # a second, over all streams
    growing_users: tuple[int, ...] = (10, 1_000_000)  # with daily counts in Redis
    new_users: int = 1_500  # that call once
    workers: tuple[int, ...] = (1, 2)
    connections: int = 300  # opened one after the other


FULL = Sizes()
QUICK = Sizes(
    call_seconds=1.5, single_calls=200, stream_tokens=150, open_streams=(1_000,), open_seconds=3.0,
    growing_streams=(10, 100), growing_users=(10, 100_000), new_users=500,
    connections=100,
)  # fmt: skip
TINY = Sizes(
    warm_up=5, call_connections=2, call_seconds=0.2, single_calls=10, streams=4, stream_tokens=20, stream_pace=100.0,
    open_streams=(10,), open_seconds=0.3, open_margin=0.7, growing_streams=(10,), growing_tokens=100.0,
    growing_users=(10,), new_users=10, workers=(1,), connections=5,
)  # fmt: skip


def load_for(name: str, sizes: Sizes) -> Sizes:
    """Return the load for this contestant. LiteLLM needs a millisecond of processor time for a token."""
    if name == "plain":
        return replace(sizes, open_streams=sizes.open_streams[:1])
    if name != "litellm":
        return sizes
    return replace(
        sizes, warm_up=min(32, sizes.warm_up), single_calls=min(100, sizes.single_calls),
        streams=min(10, sizes.streams), stream_starts=10.0, stream_tokens=min(200, sizes.stream_tokens),
        open_streams=(min(100, *sizes.open_streams),), open_starts=10.0,
    )  # fmt: skip
