"""Asking Supabase whether a token is good: for projects that sign with HS256 and keep the secret to themselves.

https://supabase.com/docs/reference/javascript/auth-getuser: `GET /auth/v1/user`.
"""

from broker.auth.supabase_client import Supabase, SupabaseAway
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.parsers import Secret

RETRY = 2.0  # seconds until it may be worth to ask again


class AuthServer:
    """The project's Supabase Auth."""

    def __init__(self, issuer_url: str, service_key: Secret, supabase: Supabase) -> None:
        """`issuer_url`: `<SUPABASE_URL>/auth/v1`."""
        self._url = issuer_url + "/user"
        self._service_key = service_key
        self._supabase = supabase

    def confirm(self, token: str, caller_id: str) -> None:
        """Returns if Supabase takes `token` for `caller_id`'s.

        Raises `TokenInvalid` where it does not, `SignInUnavailable` where it cannot be asked. Supabase
        answers 401 or 403 for a bad token, an expired one, an ended session, a banned user.
        """
        headers = {"apikey": str(self._service_key), "Authorization": f"Bearer {token}"}
        try:
            status, user = self._supabase.get(self._url, headers)
        except SupabaseAway:
            raise SignInUnavailable(retry_after=RETRY) from None
        if status in (401, 403):
            raise TokenInvalid
        if status != 200 or not isinstance(user, dict):
            raise SignInUnavailable(retry_after=RETRY)
        if user.get("id") != caller_id:
            raise TokenInvalid
