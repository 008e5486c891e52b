"""A broker to check, and the user who signs in."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from dotenv import dotenv_values

FOLDER = Path(__file__).parent
TENANTS = [
    line.split()[0]
    for line in (FOLDER.parents[1] / "deploy" / "tenants").read_text().splitlines()
    if line.strip() and not line.startswith("#")
]
TARGETS = [target for tenant in TENANTS for target in (tenant, f"{tenant}_prod")]
ACCOUNT = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_EMAIL", "SUPABASE_PASSWORD")
TIMEOUT = 60  # seconds


class CannotBeChecked(Exception):
    """The target's env file is missing or incomplete. The message says what to do."""


class Wrong(Exception):
    """A check failed. The message contains the expected and the actual value."""


@dataclass
class Target:
    """One broker. `account` is empty if no user signs in."""

    name: str
    base_url: str
    account: dict[str, str]
    token: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the URL is a loopback address, so that no public nginx is in between."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def call(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request without a token."""
        return requests.request(method, self.base_url + path, timeout=TIMEOUT, **options)  # type: ignore[arg-type]

    def signed_in(self, method: str, path: str, **options: object) -> requests.Response:
        """Send a request with the user's token."""
        return self.call(method, path, headers={"Authorization": f"Bearer {self.token}"}, **options)

    def sign_in(self) -> None:
        """Sign in with email and password, as the apps do. Raises `Wrong`."""
        response = requests.post(
            self.account["SUPABASE_URL"].rstrip("/") + "/auth/v1/token?grant_type=password",
            headers={"apikey": self.account["SUPABASE_ANON_KEY"]},
            json={"email": self.account["SUPABASE_EMAIL"], "password": self.account["SUPABASE_PASSWORD"]},
            timeout=TIMEOUT,
        )
        if response.status_code != 200:
            raise Wrong(f"Supabase returns {response.status_code}: check the email, password and anon key")
        self.token = str(response.json()["access_token"])


def read_target(name: str, folder: Path = FOLDER, url: str | None = None) -> Target:
    """Read the target from `folder/.env.<name>`. `url` overrides BASE_URL; the file is optional then.

    Raises `CannotBeChecked`.
    """
    path = folder / f".env.{name}"
    if not path.is_file() and url is None:
        raise CannotBeChecked(f"{path.name} is missing: copy tests/live/example.env to tests/live/{path.name}")
    values = (
        {key: value for key, value in dotenv_values(path, interpolate=False).items() if value} if path.is_file() else {}
    )
    given = url or values.get("BASE_URL")
    account = {key: values[key] for key in ACCOUNT if key in values}
    missing = [] if given else ["BASE_URL"]
    missing += [key for key in ACCOUNT if key not in account] if url is None or account else []
    if not given or missing:
        raise CannotBeChecked(f"{path.name} does not set {', '.join(missing)}")
    return Target(name, given.rstrip("/"), account)
