"""From an `Authorization` header to a caller. How a token is checked follows from its algorithm, and each
algorithm has one kind of key: no token can have a public key taken for a secret.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from broker import tokens
from broker.auth_server import AuthServer
from broker.faults import AuthorizationMissing, TokenInvalid
from broker.settings import Settings
from broker.signing_keys import SigningKeys

REMEMBERED = 10_000  # tokens
CONFIRMATION = 60.0  # seconds for which Supabase's word on a token is taken


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token found good: whose it is, until when that holds (Unix time), and by which key."""

    caller: tokens.Caller
    until: float
    kid: str | None


class SignIn:
    """Who is calling."""

    def __init__(
        self,
        settings: Settings,
        keys: SigningKeys,
        auth_server: AuthServer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix time in seconds."""
        secret = settings.supabase_jwt_secret
        self._secret = tokens.secret_key(secret) if secret else None
        self._expected = tokens.Expected(settings.supabase_jwt_issuer)
        self._keys = keys
        self._auth_server = auth_server
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Verified] = OrderedDict()

    def caller(self, authorization: str | None) -> tokens.Caller:
        """Who sent this `Authorization` header.

        Raises `AuthorizationMissing`, `TokenInvalid`, `TokenExpired`, or `SignInUnavailable` where the
        token cannot be judged at present.
        """
        if not authorization:
            raise AuthorizationMissing
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenInvalid
        return self._recall(text.strip()) or self._verify(text.strip())

    def _recall(self, text: str) -> tokens.Caller | None:
        digest = _digest(text)
        found = self._remembered.get(digest)
        if found is None:
            return None
        if found.until <= self._clock() or (found.kid and not self._keys.knows(found.kid)):
            del self._remembered[digest]
            return None
        return found.caller

    def _verify(self, text: str) -> tokens.Caller:
        token = tokens.read_token(text)
        caller = tokens.check_claims(token, self._expected, self._clock())
        until, kid = caller.expires_at, None  # the skew that is forgiven beyond it is judged anew each time
        if token.alg in tokens.ASYMMETRIC:
            tokens.check_signature(token, self._keys.find(token.kid))
            kid = token.kid
        elif token.alg != "HS256":
            raise TokenInvalid
        elif self._secret:
            tokens.check_signature(token, self._secret)
        else:
            self._auth_server.confirm(text, caller.id)
            until = min(until, self._clock() + CONFIRMATION)
        self._remember(text, _Verified(caller, until, kid))
        return caller

    def _remember(self, text: str, verified: _Verified) -> None:
        self._remembered[_digest(text)] = verified
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)


def _digest(text: str) -> bytes:
    """What a token is remembered by: a heap dump shows no token."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
