"""Several OpenAI keys: a call goes on to the next key when OpenAI refuses or limits the current one.

Such a key is set aside for a while. The log names keys by their number in `OPENAI_API_KEY`, from 1, never by content.
A stored response exists only for the key that it was made with, so a call that refers to one uses that key alone.
"""

import contextlib
import copy
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

from broker.errors.openai import OpenAIOutOfQuota, OpenAIRateLimited, OpenAIRefusedKey, UpstreamFault
from broker.transport.messages import PreparedRequest

log = logging.getLogger(__name__)

REFUSED = 300.0  # seconds for which a refused or exhausted key is set aside
LIMITED = 5.0  # seconds for a rate-limited key if OpenAI sends no Retry-After
LONGEST = 60.0  # seconds; OpenAI's limits per minute are over by then

Result = TypeVar("Result")


class Keys:
    """The keys of one worker, in the operator's order. The first one that is not set aside is used."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        self._in_use = 0  # by the last attempt
        self._usable_at = [0.0] * len(keys)  # monotonic times
        self._fingerprints = [fingerprint_of(key) for key in keys]
        self._current: ContextVar[int] = ContextVar("openai_key", default=0)
        self._pinned: ContextVar[int | None] = ContextVar("pinned_openai_key", default=None)

    @property
    def first(self) -> str:
        """The first key."""
        return self._keys[0]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that the last call in this context was made with."""
        return self._fingerprints[self._current.get()]

    @contextlib.contextmanager
    def pinned(self, fingerprint: str | None) -> Iterator[None]:
        """Make all calls within the context with the key of this fingerprint, if it is one of the keys."""
        is_known = fingerprint in self._fingerprints
        token = self._pinned.set(self._fingerprints.index(str(fingerprint)) if is_known else None)
        try:
            yield
        finally:
            self._pinned.reset(token)

    def call(self, attempt: Callable[[], Result]) -> Result:
        """Return the result of `attempt`, made with one key after the other. Raises its fault with the last one.

        `attempt` sends what `sign` returns, and raises an `UpstreamFault` before any of the answer is used.
        """
        if len(self._keys) == 1:
            return attempt()
        *others, last = self._candidates()
        for number in others:
            self._use(number)
            try:
                return attempt()
            except (OpenAIRefusedKey, OpenAIOutOfQuota, OpenAIRateLimited) as fault:
                self._set_aside(number, fault)
        self._use(last)
        try:
            return attempt()
        except (OpenAIRefusedKey, OpenAIOutOfQuota, OpenAIRateLimited) as fault:
            self._set_aside(last, fault)
            raise

    def sign(self, request: PreparedRequest) -> PreparedRequest:
        """Return the request with the current key. `request` has the first one."""
        number = self._current.get()
        if len(self._keys) == 1 or number == 0:
            return request
        signed = copy.copy(request)
        signed.headers = request.headers.copy()
        signed.headers["Authorization"] = f"Bearer {self._keys[number]}"
        return signed

    def _use(self, number: int) -> None:
        """Make this key the current one, and log a change of the key that the worker uses."""
        self._current.set(number)
        if number != self._in_use and self._pinned.get() is None:
            self._in_use = number
            log.warning("OpenAI key is in use", extra={"key_number": number + 1})

    def _candidates(self) -> list[int]:
        """The numbers of the keys that are not set aside; if all are, of the one that is usable first."""
        if (pinned := self._pinned.get()) is not None:
            return [pinned]
        now = time.monotonic()
        usable = [number for number, at in enumerate(self._usable_at) if at <= now]
        return usable or [self._usable_at.index(min(self._usable_at))]

    def _set_aside(self, number: int, fault: UpstreamFault) -> None:
        limited = isinstance(fault, OpenAIRateLimited)
        seconds = min(LONGEST, LIMITED if fault.retry_after is None else fault.retry_after) if limited else REFUSED
        now = time.monotonic()
        if self._usable_at[number] <= now:
            log.warning(
                "OpenAI key is set aside", extra={"key_number": number + 1, "code": fault.code, "for_seconds": seconds}
            )
        self._usable_at[number] = max(self._usable_at[number], now + seconds)


def fingerprint_of(key: str) -> str:
    """Return 12 hex digits that tell keys apart. They are stored; the key cannot be derived from them."""
    return hashlib.blake2s(key.encode(), digest_size=6, person=b"api-key").hexdigest()
