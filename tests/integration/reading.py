"""Reading a response as it arrives."""

import time
from collections.abc import Callable, Iterator

import requests


def reads_of(response: requests.Response) -> Iterator[bytes]:
    """Yield what each read of an open response brings, to its end."""
    return iter(lambda: response.raw.read1(65_536), b"")


def read_promptly(ask: Callable[[], requests.Response], seconds: float) -> list[bytes]:
    """Return the reads of the response that `ask` opens. Fails unless the first ends within `seconds`."""
    started = time.monotonic()
    with ask() as response:
        reads = reads_of(response)
        first = next(reads)
        assert time.monotonic() - started < seconds
        return [first, *reads]
