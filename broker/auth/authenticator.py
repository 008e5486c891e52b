"""Authenticates a request by its `Authorization` header.

The token's algorithm decides how it is checked, and each key is bound to one algorithm: a public key can never be used
as an HMAC secret.
"""

import functools
import hashlib
import operator
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from broker.auth import tokens
from broker.auth.remote_check import RemoteCheck
from broker.auth.signing_keys import SigningKeys
from broker.caller import Caller
from broker.errors.base import AuthorizationMissing, BearerMissing, OpenAIKeySent, Reason, TokenExpired, TokenInvalid
from broker.errors.limits import AnonymousRefused, CallerBlocked, OAuthClientRefused
from broker.settings.plans import ANONYMOUS
from broker.settings.settings import Settings

CACHE_SIZE = 10_000  # tokens
CACHE_SECONDS = 60.0  # for Supabase's verdict on a token, and for a bad signature
Run = Callable[[Callable[[], None]], None]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that verified: its caller, the Unix time until which that holds, and the id of the public key."""

    caller: Caller
    until: float
    kid: str | None


def _unknown() -> str:
    return "unknown"


class Authenticator:
    """Checks access tokens and remembers the results. One per worker."""

    def __init__(
        self,
        settings: Settings,
        keys: SigningKeys,
        remote: RemoteCheck,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        secret = settings.supabase_jwt_secret
        self._secret = tokens.secret_key(secret) if secret else None
        self._expected = tokens.Expected(settings.supabase_jwt_issuer, plan_claim=settings.plans.claim)
        self._keys = keys
        self._remote = remote
        self._clock = clock
        self._blocked = settings.blocked_ids
        self._white_list = settings.id_white_list
        self._allows_anonymous = settings.anonymous_daily_limit is not None or ANONYMOUS in settings.plans.plans
        self._oauth_clients = frozenset(settings.oauth_clients)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, Reason]] = OrderedDict()

    @property
    def refusal(self) -> str:
        """What to do if Supabase lately refused to check tokens; empty if it did not."""
        return self._remote.refusal

    def authenticate(
        self, authorization: str | None, address: Callable[[], str] = _unknown, run: Run = operator.call
    ) -> Caller:
        """The caller that this `Authorization` header names.

        `address` gives the client's address and is called only if the token is not in the cache. `run` calls the check
        of such a token: the check may wait for Supabase, and other requests may wait for its result.

        Raises `AuthorizationMissing`, `TokenInvalid`, `TokenExpired`, `CallerBlocked`, `AnonymousRefused` and
        `OAuthClientRefused`;
        `TooManyBadTokens` and `SignInUnavailable` if the token cannot be checked now.
        """
        if not authorization:
            raise AuthorizationMissing
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise BearerMissing
        text = text.strip()
        if text.startswith("sk-"):
            raise OpenAIKeySent
        caller = self._cached(_digest(text)) or self._verify(text, address, run)
        if caller.id in self._blocked:
            raise CallerBlocked
        if caller.is_anonymous and not self._allows_anonymous and caller.id not in self._white_list:
            raise AnonymousRefused
        if caller.client_id is not None and not self._oauth_clients & {caller.client_id, "*"}:
            raise OAuthClientRefused
        return caller

    def _cached(self, digest: bytes) -> Caller | None:
        """The caller of a cached token. Raises `TokenInvalid` for a token that was refused a moment ago."""
        if self._refused and (refusal := self._refused.get(digest)) and refusal[0] > self._clock():
            raise _refusal(refusal[1])
        found = self._verified.get(digest)
        if found is None:
            return None
        if found.until <= self._clock() or (found.kid and not self._keys.knows(found.kid)):
            del self._verified[digest]
            return None
        return found.caller

    def _verify(self, text: str, address: Callable[[], str], run: Run) -> Caller:
        token = tokens.read_token(text)
        caller = tokens.check_claims(token, self._expected, self._clock())
        run(functools.partial(self._check, text, token, caller, address()))
        return caller

    def _check(self, text: str, token: tokens.Token, caller: Caller, address: str) -> None:
        """Verify the token, or raise. Both results are cached."""
        digest, until = _digest(text), caller.expires_at  # within the leeway after it, each request is checked
        if self._cached(digest):  # another request has checked it meanwhile
            return
        key = self._key_for(token)
        try:
            if key:
                tokens.check_signature(token, key)
            else:
                self._remote.check(text, caller.id, address)
                until = min(until, self._clock() + CACHE_SECONDS)
        except TokenInvalid as refused:
            # Supabase Auth has no leeway: a token that it refuses within ours has expired
            is_expired = key is None and self._clock() >= caller.expires_at
            reason = TokenExpired.reason if is_expired else refused.reason
            self._cache_refusal(digest, reason)
            raise _refusal(reason) from None
        _put(self._verified, digest, _Verified(caller, until, token.kid if token.alg in tokens.ASYMMETRIC else None))

    def _cache_refusal(self, digest: bytes, reason: Reason) -> None:
        """Cache a bad token for `CACHE_SECONDS`, and drop the entries that have expired."""
        now = self._clock()
        while self._refused and next(iter(self._refused.values()))[0] <= now:
            self._refused.popitem(last=False)
        _put(self._refused, digest, (now + CACHE_SECONDS, reason))

    def _key_for(self, token: tokens.Token) -> tokens.Key | None:
        """The key for the token's algorithm; None if only Supabase can check the token."""
        if token.alg in tokens.ASYMMETRIC:
            return self._keys.find(token.kid)
        if token.alg != "HS256":
            raise TokenInvalid("wrong_algorithm")
        return self._secret


def _refusal(reason: Reason) -> TokenInvalid:
    return TokenExpired() if reason == TokenExpired.reason else TokenInvalid(reason)


def _put(cache: OrderedDict[bytes, Value], digest: bytes, value: Value) -> None:
    cache[digest] = value
    if len(cache) > CACHE_SIZE:
        cache.popitem(last=False)


def _digest(text: str) -> bytes:
    """The cache key of a token: a heap dump shows no token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
