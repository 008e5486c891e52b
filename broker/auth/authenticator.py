"""From an `Authorization` header to a caller. How a token is checked follows from its algorithm, and each
algorithm has one kind of key: no token can have a public key taken for a secret.
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
from broker.auth.remote_check import Confirmations
from broker.auth.signing_keys import SigningKeys
from broker.caller import Caller
from broker.errors.base import AuthorizationMissing, TokenInvalid
from broker.errors.limits import AnonymousRefused, CallerBlocked
from broker.settings.settings import Settings

REMEMBERED = 10_000  # tokens
Value = TypeVar("Value")
CONFIRMATION = 60.0  # seconds for which Supabase's word on a token is taken, and a bad signature is remembered


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token found good: whose it is, until when that holds (Unix time), and by which key."""

    caller: Caller
    until: float
    kid: str | None


def _unknown() -> str:
    return "unknown"


class SignIn:
    """Who is calling."""

    def __init__(
        self,
        settings: Settings,
        keys: SigningKeys,
        confirmations: Confirmations,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        secret = settings.supabase_jwt_secret
        self._secret = tokens.secret_key(secret) if secret else None
        self._expected = tokens.Expected(settings.supabase_jwt_issuer)
        self._keys = keys
        self._confirmations = confirmations
        self._clock = clock
        self._blocked = settings.blocked_ids
        self._white_list = settings.id_white_list
        self._takes_anonymous = settings.anonymous_daily_limit is not None
        self._remembered: OrderedDict[bytes, _Verified] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()

    def caller(
        self,
        authorization: str | None,
        address: Callable[[], str] = _unknown,
        apart: Callable[[Callable[[], None]], None] = operator.call,
    ) -> Caller:
        """Who sent this `Authorization` header, from `address` (worked out only where it matters).

        A token that is not known yet is judged by what `apart` is given to call: that may wait for Supabase, and others
        wait for it. Raises `AuthorizationMissing`, `TokenInvalid`, `TokenExpired`, `CallerBlocked`,
        `AnonymousRefused`; or `TooManyBadTokens`, `SignInUnavailable` where the token cannot be judged at present.
        """
        if not authorization:
            raise AuthorizationMissing
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenInvalid
        text = text.strip()
        digest = _digest(text)
        caller = self._recall(digest) or self._verify(text, address, apart)
        if caller.id in self._blocked:
            raise CallerBlocked
        if caller.is_anonymous and not self._takes_anonymous and caller.id not in self._white_list:
            raise AnonymousRefused
        return caller

    def _recall(self, digest: bytes) -> Caller | None:
        if self._refused and self._refused.get(digest, 0.0) > self._clock():
            raise TokenInvalid
        found = self._remembered.get(digest)
        if found is None:
            return None
        if found.until <= self._clock() or (found.kid and not self._keys.knows(found.kid)):
            del self._remembered[digest]
            return None
        return found.caller

    def _verify(self, text: str, address: Callable[[], str], apart: Callable[[Callable[[], None]], None]) -> Caller:
        token = tokens.read_token(text)
        caller = tokens.check_claims(token, self._expected, self._clock())
        apart(functools.partial(self._judge, text, token, caller, address()))
        return caller

    def _judge(self, text: str, token: tokens.Token, caller: Caller, address: str) -> None:
        """Returns if the token is good. Either is remembered."""
        digest, until = _digest(text), caller.expires_at  # the skew that is forgiven beyond it is judged anew each time
        if self._recall(digest):  # somebody else's judgement, made since
            return
        key = self._key_for(token)
        try:
            if key:
                tokens.check_signature(token, key)
            else:
                self._confirmations.confirm(text, caller.id, address)
                until = min(until, self._clock() + CONFIRMATION)
        except TokenInvalid:
            self._refuse(digest)
            raise
        _keep(self._remembered, digest, _Verified(caller, until, token.kid if token.alg in tokens.ASYMMETRIC else None))

    def _refuse(self, digest: bytes) -> None:
        """Remember a bad token for a while; those whose time is over are the oldest, and go."""
        now = self._clock()
        while self._refused and next(iter(self._refused.values())) <= now:
            self._refused.popitem(last=False)
        _keep(self._refused, digest, now + CONFIRMATION)

    def _key_for(self, token: tokens.Token) -> tokens.Key | None:
        """What the token's algorithm is checked with; None: only Supabase can."""
        if token.alg in tokens.ASYMMETRIC:
            return self._keys.find(token.kid)
        if token.alg != "HS256":
            raise TokenInvalid
        return self._secret


def _keep(memory: OrderedDict[bytes, Value], digest: bytes, value: Value) -> None:
    memory[digest] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _digest(text: str) -> bytes:
    """What a token is remembered by: a heap dump shows no token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
