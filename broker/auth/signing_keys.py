"""Supabase's public keys: fetched, refreshed in the background, and kept while Supabase is unavailable.

Supabase publishes a key at least 20 minutes before it signs with it, and its edge caches the set for 10 minutes
(https://supabase.com/docs/guides/auth/signing-keys). A set fetched every 5 minutes therefore holds each key before its
first token arrives. Only a project that rotates faster needs a fetch for an unknown `kid`, and made-up `kid`s must not
cause a fetch each.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict

from broker.auth import tokens
from broker.auth.supabase_client import ANSWER, STATUS, SupabaseClient, SupabaseUnavailable
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

KEY_SET = "/.well-known/jwks.json"  # below the Auth URL
REFRESH = 300.0  # seconds between fetches while Supabase answers
RETRY = 3.0  # seconds between fetches while it does not
COOL_DOWN = 30.0  # seconds; unknown `kid`s cause at most one fetch in this time
MAX_SEEN = 10_000  # unknown `kid`s that are remembered


class SigningKeys:
    """The project's key set. One per worker: built before the fork, started after it."""

    def __init__(self, supabase: SupabaseClient, metrics: Metrics, background: Background | None = None) -> None:
        self._supabase = supabase
        self._background = background or Background()
        self._metrics = metrics
        self._keys: dict[str, tokens.Key] = {}
        self._fetching = threading.Lock()
        self._cool_until = 0.0
        self._is_up: bool | None = None
        self.failure = ""  # the kind of the last fetch's failure: see `SupabaseUnavailable`
        self._begun = self._answered = 0  # the number of the last fetch, and of the last one that succeeded
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # unknown `kid`s, and `_begun` at the first sight of each
        self.ever_fetched = False

    @property
    def is_up(self) -> bool:
        """Whether the last fetch succeeded."""
        return bool(self._is_up)

    @property
    def is_empty(self) -> bool:
        """Whether the set holds no key, as for a project that signs with HS256."""
        return not self._keys

    def start(self) -> None:
        """Fetch the set now and refresh it in the background."""
        self._background.run("signing keys", self._refresh_forever)

    def knows(self, kid: str) -> bool:
        """Whether the set holds this key. Supabase removes a revoked key from it."""
        return kid in self._keys

    def find(self, kid: str | None) -> tokens.Key:
        """The key with this id. A known key is returned at once, also during a fetch.

        Raises `TokenInvalid` if a fetch that began after the first sight of `kid` did not contain it, and
        `SignInUnavailable` if there was no such fetch, because another client's made-up `kid` used it up.
        """
        if kid is None:
            raise TokenInvalid("unknown_key")
        if key := self._keys.get(kid):
            return key
        seen = self._first_sight(kid, self._begun)
        if key := self._fetch_for(kid):
            return key
        if not self._is_up:
            raise SignInUnavailable(retry_after=RETRY)
        if self._answered > seen:
            raise TokenInvalid("unknown_key")
        raise SignInUnavailable(retry_after=max(1.0, self._cool_until - time.monotonic()))

    def _first_sight(self, kid: str, begun: int) -> int:
        """The number of fetches begun when `kid` was first seen: `begun` if that is now."""
        digest = hashlib.sha256(kid.encode("utf-8", "surrogatepass")).digest()  # a `kid` may be long
        seen = self._seen.setdefault(digest, begun)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return seen

    def _fetch_for(self, kid: str) -> tokens.Key | None:
        """Fetch the set for an unknown `kid`, unless that happened within `COOL_DOWN`."""
        if time.monotonic() < self._cool_until and not self._fetching.locked():
            return None
        with self._fetching:  # concurrent requests share one fetch
            if kid not in self._keys and time.monotonic() >= self._cool_until:
                self._cool_until = time.monotonic() + COOL_DOWN
                self._fetch()
                if not self._is_up:  # the `kid` may be good, so try again soon
                    self._cool_until = time.monotonic() + RETRY
        return self._keys.get(kid)

    def _refresh_forever(self) -> None:
        while True:
            with self._fetching:
                self._fetch()
            time.sleep(REFRESH if self._is_up else RETRY)

    def _fetch(self) -> None:
        self._begun += 1
        try:
            keys = fetch_keys(self._supabase)
        except SupabaseUnavailable as failure:
            self._note(failure)
            return
        for revoked in self._keys.keys() - keys.keys():
            self._first_sight(revoked, self._begun - 1)
        self._keys, self._answered = keys, self._begun
        self.ever_fetched = True
        self._note(None)

    def _note(self, failure: SupabaseUnavailable | None) -> None:
        is_up = failure is None
        if failure and self._is_up is not False:
            about = {"kind": failure.kind, "host": self._supabase.host, "reason": failure.reason}
            log.error("Supabase's signing keys cannot be fetched", extra=about)
        elif is_up and self._is_up is False:
            log.warning("Supabase's signing keys are fetched again")
        self._is_up, self.failure = is_up, failure.kind if failure else ""
        self._metrics.signing_keys_up.set(is_up)


def fetch_keys(supabase: SupabaseClient) -> dict[str, tokens.Key]:
    """The keys that Supabase publishes, by `kid`. Raises `SupabaseUnavailable`."""
    status, document = supabase.get(KEY_SET)
    if status != 200:
        raise supabase.failure(STATUS, str(status))
    try:
        return tokens.key_set(document)
    except ValueError as error:
        raise supabase.failure(ANSWER, str(error)) from None
