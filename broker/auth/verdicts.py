"""Tells Supabase Auth's own verdict on a token from the refusals of what stands in front of it. Pure."""

from collections.abc import Mapping

ERROR_CODE = "x-sb-error-code"  # set by Supabase Auth only
# Codes of an error that concerns the token or its user: https://supabase.com/docs/guides/auth/debugging/error-codes
TOKEN_CODES = frozenset({
    "bad_jwt", "no_authorization", "session_not_found", "session_expired", "user_not_found", "user_banned",
    "refresh_token_not_found", "refresh_token_already_used",
})  # fmt: skip


def rejects_token(status: int, headers: Mapping[str, str], body: object) -> bool:
    """Whether the answer to GET /user is Supabase Auth's verdict that the token is bad.

    `body` is the parsed JSON. Supabase Auth's error body is `{"code": 403, "error_code": "bad_jwt", "msg": …}`, or
    `{"code": "bad_jwt", "message": …}` since the API version of 2024-01-01. A gateway's has neither code.
    """
    if status not in (401, 403):
        return False
    if headers.get(ERROR_CODE):
        return True
    if not isinstance(body, dict):
        return False
    codes = [body.get("error_code")]
    if "msg" in body or "message" in body:
        codes.append(body.get("code"))
    return any(isinstance(code, str) and code in TOKEN_CODES for code in codes)


def advice(status: int, body: object) -> str:
    """Return advice for the operator about an answer that is no verdict. Quotes nothing of the answer."""
    if status in (401, 403) and isinstance(body, dict) and isinstance(body.get("message"), str):
        return f"status {status} for SUPABASE_SERVICE_KEY: renew the key"
    if status in (401, 403):
        return f"status {status}, not from Supabase Auth: check SUPABASE_URL and the firewalls in front of it"
    return f"status {status}, no user: check SUPABASE_URL"
