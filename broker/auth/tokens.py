"""Parses Supabase access tokens, and checks their claims and signatures. Pure: no clock, no network.

Claims: https://supabase.com/docs/guides/auth/jwt-fields. Format: RFC 7515 (JWS), RFC 7519 (JWT). The legacy `anon` and
`service_role` keys are JWTs too, signed with the same secret as a user's token, and the `anon` key is public. They have
no `sub` and no `aud`, and are refused for that.
"""

import base64
import binascii
import math
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from jwt import PyJWK
from jwt.algorithms import Algorithm, HMACAlgorithm
from jwt.exceptions import PyJWKError, PyJWTError

from broker import strict_json
from broker.caller import Caller
from broker.errors.base import CallerFault, Reason, TokenExpired, TokenInvalid
from broker.settings.plans import plan_in

LEEWAY = 10  # seconds of clock skew
MAX_LENGTH = 16_384  # characters; a longer token is refused without parsing it
API_KEY_ROLES = ("anon", "service_role")  # of the legacy API keys
MAX_ID = 128  # characters of a user id
ASYMMETRIC = frozenset({"ES256", "RS256", "EdDSA"})  # https://supabase.com/docs/guides/auth/signing-keys


@dataclass(frozen=True, slots=True)
class Key:
    """A key bound to one algorithm, so that a token cannot choose how it is checked."""

    alg: str
    algorithm: Algorithm
    material: Any = field(repr=False)

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` for `signed`."""
        return bool(self.algorithm.verify(signed, self.material, signature))


@dataclass(frozen=True, slots=True)
class Expected:
    """The claims that every user token of this project has."""

    issuer: str
    audience: str = "authenticated"
    role: str = "authenticated"
    plan_claim: tuple[str, ...] = ()  # path of the claim that names the user's plan


@dataclass(frozen=True, slots=True)
class Token:
    """A parsed token, not yet verified."""

    alg: str
    kid: str | None
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def secret_key(secret: str) -> Key:
    """The project's HS256 secret as a key."""
    algorithm = HMACAlgorithm(HMACAlgorithm.SHA256)
    return Key("HS256", algorithm, secret.encode())


def key_set(document: object) -> dict[str, Key]:
    """The usable keys of a JWKS document (RFC 7517), by `kid`.

    Keys of unknown kinds and keys for other uses are left out, as the RFC asks. Raises ValueError if the document is
    not a JWKS.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")
    return {key[0]: key[1] for entry in entries if (key := _public_key(entry))}


def _public_key(entry: object) -> tuple[str, Key] | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return None
    try:
        jwk = PyJWK(entry)
    except (PyJWKError, PyJWTError, ValueError, TypeError, KeyError, NotImplementedError):
        return None
    if jwk.algorithm_name not in ASYMMETRIC:
        return None
    if jwk.algorithm_name == "ES256" and entry.get("crv") != "P-256":  # RFC 7518, 3.4
        return None
    return entry["kid"], Key(jwk.algorithm_name, jwk.Algorithm, jwk.key)


def read_token(text: str) -> Token:
    """Parse `text`. Raises `TokenInvalid` if it is not a well-formed token."""
    if text.startswith("sb_"):  # https://supabase.com/docs/guides/api/api-keys
        raise TokenInvalid("supabase_key")
    if len(text) > MAX_LENGTH or text.count(".") != 2 or not text.isascii():
        raise TokenInvalid
    parts = text.split(".")
    header, claims = _read_object(parts[0]), _read_object(parts[1])
    alg, kid = header.get("alg"), header.get("kid")
    # `crit` names extensions that a reader must support; this one supports none (RFC 7515, 4.1.11)
    if not isinstance(alg, str) or not isinstance(kid, str | None) or "crit" in header:
        raise TokenInvalid
    signed = text.rpartition(".")[0].encode()
    return Token(alg, kid, claims, signed, _read_base64(parts[2]))


def check_claims(token: Token, expected: Expected, now: float) -> Caller:
    """The caller named by the token, if its claims are those of a signed-in user at `now` (Unix time, seconds).

    Raises `TokenInvalid`, or `TokenExpired` if all other claims are right. Does not check the signature.
    """
    claims = token.claims
    caller_id, expires_at = claims.get("sub"), _time(claims, "exp")
    if reason := _wrong_claim(claims, expected):
        raise TokenInvalid(reason)
    if not _is_id(caller_id):
        raise TokenInvalid("no_user_id")
    if expires_at is None:
        raise TokenInvalid("no_expiry")
    if "nbf" in claims and ((not_before := _time(claims, "nbf")) is None or now + LEEWAY < not_before):
        raise TokenInvalid("not_yet_valid")
    if now >= expires_at + LEEWAY:
        raise TokenExpired
    # any value but `false` counts as true, because the claim only restricts
    is_anonymous = claims.get("is_anonymous", False) is not False
    client = claims.get("client_id")
    client_id = None if client is None else str(client)[:MAX_ID]
    return Caller(caller_id, expires_at, is_anonymous, plan_in(claims, expected.plan_claim), client_id)


def _wrong_claim(claims: dict[str, Any], expected: Expected) -> Reason | None:
    """Why these are not the claims of a user of this project; None if they are."""
    audience, role = claims.get("aud"), claims.get("role")
    if role in API_KEY_ROLES:
        return "supabase_key"
    if claims.get("iss") != expected.issuer:
        return "wrong_issuer"
    if expected.audience not in (audience if isinstance(audience, list) else [audience]):
        return "wrong_audience"
    return None if role == expected.role else "wrong_role"


def check_signature(token: Token, key: Key) -> None:
    """Raises `TokenInvalid` unless `key`, by its own algorithm, signed the token."""
    if token.alg != key.alg:
        raise TokenInvalid("wrong_algorithm")
    if not key.verifies(token.signed, token.signature):
        raise TokenInvalid("bad_signature")


def _is_id(value: object) -> TypeGuard[str]:
    """Supabase's ids are UUIDs. The id becomes part of a Redis key and of a log line."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= MAX_ID


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _read_object(part: str) -> dict[str, Any]:
    """A JSON object. Repeated member names are refused, because parsers disagree on them (RFC 7519, 4)."""
    try:
        value = strict_json.read(_read_base64(part))
    except CallerFault:
        raise TokenInvalid from None
    if not isinstance(value, dict):
        raise TokenInvalid
    return value


def _read_base64(part: str) -> bytes:
    """Decode base64url without padding. Non-canonical spellings are refused: they are not the signed bytes."""
    try:
        value = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise TokenInvalid from None
    if base64.urlsafe_b64encode(value).rstrip(b"=") != part.encode():
        raise TokenInvalid
    return value
