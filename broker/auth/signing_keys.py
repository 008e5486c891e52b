"""Supabase's public keys: fetched, refreshed in the background, and kept while Supabase is away.

Supabase lets a key stand by in the set for 20 minutes before it signs, and its edge caches the set
for 10 (https://supabase.com/docs/guides/auth/signing-keys): so a set fetched every 5 minutes knows
each key before its first token comes. Only a project that rotates faster needs a fetch for an
unknown `kid`; made-up `kid`s must not become a fetch each.
"""

import logging
import threading
import time

from broker.auth import tokens
from broker.auth.supabase_client import Supabase, SupabaseAway
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

REFRESH = 300.0  # seconds between fetches while all is well
RETRY = 3.0  # seconds between fetches while Supabase is away
COOL_DOWN = 30.0  # seconds in which unknown `kid`s cause one fetch


class SigningKeys:
    """The project's key set, as one worker knows it. Built before the fork; `start` it after."""

    def __init__(self, issuer_url: str, supabase: Supabase, metrics: Metrics) -> None:
        """`issuer_url`: `<SUPABASE_URL>/auth/v1`, where the set is published."""
        self._url = issuer_url + "/.well-known/jwks.json"
        self._supabase = supabase
        self._metrics = metrics
        self._keys: dict[str, tokens.Key] = {}
        self._fetching = threading.Lock()
        self._cool_until = 0.0
        self._is_up: bool | None = None
        self.ever_fetched = False

    @property
    def is_up(self) -> bool:
        """Whether the last fetch succeeded."""
        return bool(self._is_up)

    def start(self) -> None:
        """Fetch the set now and keep it fresh, in the background."""
        threading.Thread(target=self._keep_fresh, name="signing-keys", daemon=True).start()

    def knows(self, kid: str) -> bool:
        """Whether the set holds this key: a revoked one leaves it."""
        return kid in self._keys

    def find(self, kid: str | None) -> tokens.Key:
        """The key with this id. A known one is found at once, whatever a fetch is doing.

        Raises `TokenInvalid` where Supabase has no such key, `SignInUnavailable` where that cannot be
        known because the set could not be fetched.
        """
        if kid is None:
            raise TokenInvalid
        key = self._keys.get(kid) or self._look_again(kid)
        if key is not None:
            return key
        if self._is_up:
            raise TokenInvalid
        raise SignInUnavailable(retry_after=RETRY)

    def _look_again(self, kid: str) -> tokens.Key | None:
        """Fetch the set because of an unknown `kid`, unless that was done a moment ago."""
        if time.monotonic() < self._cool_until and not self._fetching.locked():
            return None
        with self._fetching:  # whoever comes meanwhile shares this one's fetch
            if kid not in self._keys and time.monotonic() >= self._cool_until:
                self._cool_until = time.monotonic() + COOL_DOWN
                self._fetch()
                if not self._is_up:  # that tells nothing of the `kid`, and Supabase may be back in a moment
                    self._cool_until = time.monotonic() + RETRY
        return self._keys.get(kid)

    def _keep_fresh(self) -> None:
        while True:
            with self._fetching:
                self._fetch()
            time.sleep(REFRESH if self._is_up else RETRY)

    def _fetch(self) -> None:
        try:
            status, document = self._supabase.get(self._url)
            keys = tokens.key_set(document)
        except (SupabaseAway, ValueError) as error:
            self._note(is_up=False, why=str(error))
            return
        if status != 200:
            self._note(is_up=False, why=f"status {status}")
            return
        self._keys = keys
        self.ever_fetched = True
        self._note(is_up=True)

    def _note(self, *, is_up: bool, why: str = "") -> None:
        if is_up is not self._is_up:
            if not is_up:
                log.error("Supabase's signing keys cannot be fetched", extra={"why": why})
            elif self._is_up is False:
                log.warning("Supabase's signing keys are fetched again")
        self._is_up = is_up
        self._metrics.signing_keys_up.set(is_up)
