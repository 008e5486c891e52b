"""Token checks by Supabase Auth, for projects that sign with HS256 and do not share the secret.

Concurrent checks of one token share a request. Failed checks are limited per client address.
"""

import time
from collections import OrderedDict
from concurrent.futures import Future

from broker.auth.supabase_client import RETRY_AFTER, SupabaseClient
from broker.errors.base import Fault, SignInUnavailable, TokenInvalid
from broker.errors.limits import TooManyBadTokens

BURST = 60  # failed checks in a row that one address may cause
REFILL = 1.0  # checks a second that an address regains
MAX_ADDRESSES = 10_000  # remembered addresses; the least recently updated one is dropped


class RemoteCheck:
    """Supabase's verdict on tokens. One per worker."""

    def __init__(self, supabase: SupabaseClient) -> None:
        self._supabase = supabase
        self._failures = FailureBuckets()
        self._pending: dict[str, Future[None]] = {}

    @property
    def refusal(self) -> str:
        """What to do if Supabase lately refused to check tokens; empty if it did not."""
        return self._supabase.refusal

    def check(self, token: str, caller_id: str, address: str) -> None:
        """Check with Supabase that `token` belongs to `caller_id`. Concurrent calls for one token share the answer.

        Raises as `SupabaseClient.check_token`, and `TooManyBadTokens`.
        """
        if pending := self._pending.get(token):
            pending.result()
            return
        pending = self._pending[token] = Future()
        try:
            self._request(token, caller_id, address)
        except BaseException as error:
            pending.set_exception(error if isinstance(error, Fault) else SignInUnavailable(retry_after=RETRY_AFTER))
            raise
        else:
            pending.set_result(None)
        finally:
            del self._pending[token]

    def _request(self, token: str, caller_id: str, address: str) -> None:
        if wait := self._failures.wait(address, time.monotonic()):
            raise TooManyBadTokens(retry_after=wait)
        try:
            self._supabase.check_token(token, caller_id)
        except TokenInvalid:
            self._failures.note_failure(address, time.monotonic())
            raise


class FailureBuckets:
    """Token bucket of failed token checks per client address. Pure: the caller passes the time.

    A check that succeeds takes nothing from the bucket.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until a token from `address` may be checked; 0 if it may now. `now`: any steady clock."""
        return max(0.0, (1.0 - self._left(address, now)) / REFILL)

    def note_failure(self, address: str, now: float) -> None:
        """Record a failed check of a token from `address`."""
        left = self._left(address, now) - 1.0
        self._buckets[address] = (max(left, -float(BURST)), now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def _left(self, address: str, now: float) -> float:
        left, since = self._buckets.get(address, (float(BURST), now))
        return min(float(BURST), left + (now - since) * REFILL)
