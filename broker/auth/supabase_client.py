"""The only requests to Supabase Auth: each is a GET with a bound on its time and on the size of its answer."""

import json
import logging
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from broker.auth import verdicts
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.parsers import Secret

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 1024 * 1024
RETRY_AFTER = 2.0  # seconds until a client may try again after a check that failed
REFUSAL_SECONDS = 60.0  # for which a refusal is reported: without traffic, no later check would end it


class SupabaseUnavailable(Exception):
    """Supabase gave no usable answer. The message says why and holds no secret."""


class SupabaseClient:
    """Supabase Auth over HTTP. Connects with the first request."""

    def __init__(self, auth_url: str, service_key: Secret, timeout: float) -> None:
        """`auth_url`: `<SUPABASE_URL>/auth/v1`; `timeout`: seconds for a whole answer."""
        self._auth_url = auth_url
        self._service_key = service_key
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # keeps none
        self._problem = ""
        self._refused_until = 0.0

    @property
    def refusal(self) -> str:
        """What to do if Supabase lately refused to check tokens; empty if it did not."""
        return self._problem if time.monotonic() < self._refused_until else ""

    def check_token(self, token: str, caller_id: str) -> None:
        """Return if Supabase accepts `token` as `caller_id`'s.

        Raises `TokenInvalid` if Supabase Auth rejects it, `SignInUnavailable` if Supabase gives no verdict. Supabase
        Auth answers 401 or 403 for a bad or expired token, an ended session and a banned user
        (https://supabase.com/docs/reference/javascript/auth-getuser). Its gateway answers 401 for a bad service key.
        """
        headers = {"apikey": str(self._service_key), "Authorization": f"Bearer {token}"}
        try:
            status, fields, user = self._get("/user", headers)
        except SupabaseUnavailable as error:
            self._note(str(error))
            raise SignInUnavailable(retry_after=RETRY_AFTER) from None
        is_user = status == 200 and isinstance(user, dict)
        if not is_user and not verdicts.rejects_token(status, fields, user):
            self._refused_until = time.monotonic() + REFUSAL_SECONDS
            self._note(verdicts.advice(status, user))
            raise SignInUnavailable(retry_after=RETRY_AFTER)
        self._refused_until = 0.0
        self._note("")
        if not is_user or user.get("id") != caller_id:
            raise TokenInvalid

    def _note(self, problem: str) -> None:
        """Log a change of the state. `problem` is empty if Supabase checks tokens."""
        if problem and problem != self._problem:
            log.error("Supabase does not check tokens", extra={"why": problem})
        elif self._problem and not problem:
            log.warning("Supabase checks tokens again")
        self._problem = problem

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The status (below 500) and the parsed JSON of `path` under the Auth URL; None if it is not JSON.

        Raises `SupabaseUnavailable` for status 429 or 5xx, and if no answer arrives within the time-out.
        """
        status, _, body = self._get(path, headers)
        return status, body

    def _get(self, path: str, headers: dict[str, str] | None) -> tuple[int, Mapping[str, str], Any]:
        """As `get`, with the answer's header fields."""
        ends_at = time.monotonic() + self._timeout
        try:
            with self._session.get(
                self._auth_url + path, headers=headers, timeout=self._timeout, stream=True, allow_redirects=False
            ) as response:
                body = _read(response, ends_at)
        except (requests.RequestException, OSError) as error:
            raise SupabaseUnavailable(type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500:
            raise SupabaseUnavailable(f"status {response.status_code}")
        try:
            return response.status_code, response.headers, json.loads(body)
        except (ValueError, RecursionError):
            return response.status_code, response.headers, None


def _read(response: requests.Response, ends_at: float) -> bytes:
    body = b""
    for piece in response.iter_content(65_536):
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise SupabaseUnavailable("the answer is too large")
        if time.monotonic() > ends_at:
            raise SupabaseUnavailable("the answer did not end in time")
    return body
