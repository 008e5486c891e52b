"""The only requests to Supabase Auth: each is a GET with a bound on its time and on the size of its answer."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import gevent
import requests
from urllib3.exceptions import HTTPError

from broker.auth import verdicts
from broker.errors import network
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.settings import Settings
from broker.transport.connections import Adapter
from broker.transport.options import Options

log = logging.getLogger(__name__)

STATUS, ANSWER = "status", "answer"  # Supabase answered with an error; with something else than was asked for
KINDS = (*network.KINDS, STATUS, ANSWER)
MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_SHARE = 0.75  # of the time-out, at most, for connecting: a slow name look-up or handshake is named as such
RETRY_AFTER = 2.0  # seconds until a client may try again after a check that failed
REFUSAL_SECONDS = 60.0  # for which a refusal is reported: without traffic, no later check would end it


class SupabaseUnavailable(Exception):
    """Supabase gave no usable answer. `kind` is one of `KINDS`; neither it nor `reason` holds a secret."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(f"{kind}: {reason}")


class SupabaseClient:
    """Supabase Auth over HTTP. Built before the fork; connects with the first request."""

    def __init__(self, settings: Settings, failed: Callable[[str], None] = lambda _: None) -> None:
        """`failed` is called with the kind of each request that failed."""
        self._auth_url = settings.supabase_url + "/auth/v1"
        self.host = urlsplit(self._auth_url).hostname
        self._service_key = settings.supabase_service_key
        self._timeout = settings.supabase_timeout
        self._adapter = Adapter(self._auth_url, Options.of(settings, self._auth_url))
        self._count = failed
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
            self._note(error)
            raise SignInUnavailable(retry_after=RETRY_AFTER) from None
        is_user = status == 200 and isinstance(user, dict) and isinstance(user.get("id"), str)
        if not is_user and not verdicts.rejects_token(status, fields, user):
            self._refused_until = time.monotonic() + REFUSAL_SECONDS
            self._note(self.failure(STATUS, verdicts.advice(status, user)))
            raise SignInUnavailable(retry_after=RETRY_AFTER)
        self._refused_until = 0.0
        self._note(None)
        if not is_user or user["id"] != caller_id:
            raise TokenInvalid("refused_by_supabase")

    def _note(self, problem: SupabaseUnavailable | None) -> None:
        """Log a change of the state. `problem` is None if Supabase checks tokens."""
        reason = problem.reason if problem else ""
        if problem and reason != self._problem:
            about = {"kind": problem.kind, "host": self.host, "reason": reason}
            log.error("Supabase does not check tokens", extra=about)
        elif self._problem and not problem:
            log.warning("Supabase checks tokens again")
        self._problem = reason

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The status (below 500) and the parsed JSON of `path` under the Auth URL; None if it is not JSON.

        Raises `SupabaseUnavailable` for status 429 or 5xx, and if no answer arrives within the time-out.
        """
        status, _, body = self._get(path, headers or {})
        return status, body

    def failure(self, kind: str, reason: str) -> SupabaseUnavailable:
        """Count a failure and return it."""
        self._count(kind)
        return SupabaseUnavailable(kind, reason)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], Any]:
        """As `get`, with the answer's header fields."""
        response, body = self._exchange(path, headers)
        if response.status_code == 429 or response.status_code >= 500:
            raise self.failure(STATUS, str(response.status_code))
        try:
            return response.status_code, response.headers, json.loads(body)
        except (ValueError, RecursionError):
            return response.status_code, response.headers, None

    def _exchange(self, path: str, headers: Mapping[str, str]) -> tuple[requests.Response, bytes]:
        """Without a `requests.Session`: no cookies, no `.netrc`, no redirects."""
        fixed = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "gpt-broker"}
        request = requests.Request("GET", self._auth_url + path, headers={**fixed, **headers}).prepare()
        limits = (self._timeout * CONNECT_SHARE, self._timeout)
        try:
            with gevent.Timeout(self._timeout, TimeoutError("no answer in time")):
                response = self._adapter.send(request, stream=True, timeout=limits)
                body = _read(response)
        except HTTPException:
            raise self.failure(ANSWER, "the answer is no HTTP response, or is cut") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self.failure(network.kind_of(error), network.words_of(error)) from None
        if len(body) > MAX_ANSWER_BYTES:
            raise self.failure(ANSWER, "the answer is too large")
        return response, body


def _read(response: requests.Response) -> bytes:
    """The body, or slightly more than its first `MAX_ANSWER_BYTES`."""
    body = b""
    try:
        while len(body) <= MAX_ANSWER_BYTES and (piece := response.raw.read1()):
            body += piece
    finally:
        response.close()
    return body
