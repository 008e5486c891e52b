"""Requests to the broker through its public URL, as its users reach it."""

import datetime
import socket
import ssl
import time
from urllib.parse import urlsplit

import requests

from broker.settings.settings import Settings

TIMEOUT = 20  # seconds
QUESTION = "Count from one to forty, in words, separated by spaces. Nothing else."


class Unreachable(Exception):
    """No usable response. The message names the error."""


class PublicUrl:
    """The broker's public URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or 443

    def certificate_days(self) -> float:
        """Verify the certificate; return the days until it expires. Raises `Unreachable`."""
        try:
            with (
                socket.create_connection((self._host, self._port), TIMEOUT) as plain,
                ssl.create_default_context().wrap_socket(plain, server_hostname=self._host) as secured,
            ):
                certificate = secured.getpeercert() or {}
        except OSError as error:
            raise Unreachable(getattr(error, "verify_message", "") or type(error).__name__) from None
        until = datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), datetime.UTC)
        return (until - datetime.datetime.now(datetime.UTC)).total_seconds() / 86_400

    def ask(self, method: str, path: str, headers: dict[str, str]) -> requests.Response:
        """Send a request without a body. Raises `Unreachable`."""
        try:
            return requests.request(method, self.url + path, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            raise Unreachable(type(error).__name__) from None

    def arrivals(self, token: str) -> list[float]:
        """Return when each read of a stream arrived, in seconds after the first. Counts as a call of the user's.

        Raises `Unreachable`.
        """
        body = {"messages": QUESTION, "model": "gpt-4o-mini"}
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with requests.post(
                self.url + "/stream", json=body, headers=headers, timeout=TIMEOUT, stream=True
            ) as response:
                if response.status_code != 200:
                    raise Unreachable(f"status {response.status_code}")
                times = [time.monotonic() for _ in response.iter_content(None)]
        except requests.RequestException as error:
            raise Unreachable(type(error).__name__) from None
        return [moment - times[0] for moment in times]


def sign_in(settings: Settings, anon_key: str, email: str, password: str) -> str:
    """Sign in as the apps do; return the access token. Raises `Unreachable`."""
    url = settings.supabase_url + "/auth/v1/token?grant_type=password"
    body, trusted = {"email": email, "password": password}, settings.ca_file or True
    try:
        response = requests.post(url, headers={"apikey": anon_key}, json=body, timeout=TIMEOUT, verify=trusted)
        return str(response.json()["access_token"])
    except (requests.RequestException, ValueError, KeyError) as error:
        raise Unreachable(f"signing in to Supabase failed ({type(error).__name__})") from None
