"""Checks a user's access token as the broker does: signed in as the apps do, then issuer and clock."""

import base64
import json
import time
from collections.abc import Iterator, Mapping

from broker.doctor import clock
from broker.doctor.findings import Finding
from broker.doctor.public_url import Unreachable, sign_in
from broker.settings.settings import Settings

SIGN_IN = ("SUPABASE_ANON_KEY", "SUPABASE_EMAIL", "SUPABASE_PASSWORD")


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Compare a new token's `iss` and `iat` with the settings and this host's clock. `environ` may hold a sign-in.

    With a wrong issuer or clock every call gets 401 while every other part is fine.
    """
    given = [environ.get(name, "") for name in SIGN_IN]
    if not all(given):
        yield Finding("a user's token", f"set {', '.join(SIGN_IN)} in tests/live/.env.<tenant>", is_checked=False)
        return
    try:
        claims = claims_of(sign_in(settings, *given))
    except Unreachable as error:
        yield Finding("a user's token", f"{error}: check the account in tests/live/.env.<tenant>")
        return
    issuer, expected = claims.get("iss"), settings.supabase_jwt_issuer
    wrong = f"Supabase writes the issuer {issuer!r} and the broker expects {expected!r}: set SUPABASE_JWT_ISSUER"
    yield Finding("a user's token has the expected issuer", "" if issuer == expected else wrong)
    issued_at = claims.get("iat")
    off = time.time() - issued_at if isinstance(issued_at, int | float) else 0.0
    yield Finding("clock, compared with a user's token", clock.advice(off))


def claims_of(key: str) -> dict[str, object]:
    """Return the claims of a token or legacy key, not verified; empty for other keys."""
    parts = key.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, IndexError):
        return {}
    return claims if isinstance(claims, dict) else {}
