"""One way to ask Supabase Auth something: a GET with a bound on its time and on the size of its answer."""

import json
import time
from typing import Any

import requests

MAX_ANSWER_BYTES = 1024 * 1024


class SupabaseAway(Exception):
    """Supabase gave no usable answer; the message says how, without any secret."""


class Supabase:
    """Supabase Auth over HTTP. Connects with the first question."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds for a whole answer."""
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, url: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """The status, below 500, and the JSON of the answer (None where it is no JSON).

        Raises `SupabaseAway` for a status of 429 or from 500, and for no answer within the time-out.
        """
        ends_at = time.monotonic() + self._timeout
        try:
            with self._session.get(
                url, headers=headers, timeout=self._timeout, stream=True, allow_redirects=False
            ) as response:
                body = _read(response, ends_at)
        except (requests.RequestException, OSError) as error:
            raise SupabaseAway(type(error).__name__) from None
        if response.status_code == 429 or response.status_code >= 500:
            raise SupabaseAway(f"status {response.status_code}")
        try:
            return response.status_code, json.loads(body)
        except (ValueError, RecursionError):
            return response.status_code, None


def _read(response: requests.Response, ends_at: float) -> bytes:
    body = b""
    for part in response.iter_content(65_536):
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise SupabaseAway("an answer without end")
        if time.monotonic() > ends_at:
            raise SupabaseAway("an answer that drips")
    return body
