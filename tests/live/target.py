"""A broker to be checked, with the user who signs in there."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from dotenv import dotenv_values

TARGETS = ("sksndev", "sksndev_prod", "techsksn", "techsksn_prod")
FOLDER = Path(__file__).parent
ACCOUNT = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_EMAIL", "SUPABASE_PASSWORD")
TIMEOUT = 60  # seconds


class CannotBeChecked(Exception):
    """The target is not described well enough; the message says what to do."""


class Wrong(Exception):
    """A check failed; the message says what was expected and what came."""


@dataclass
class Target:
    """One broker. `account` is empty where nobody is to sign in."""

    name: str
    base_url: str
    account: dict[str, str]
    token: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether the broker is asked itself, with no nginx before it: on an address of this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def call(self, method: str, path: str, **options: object) -> requests.Response:
        """What the broker answers to anyone."""
        return requests.request(method, self.base_url + path, timeout=TIMEOUT, **options)  # type: ignore[arg-type]

    def signed_in(self, method: str, path: str, **options: object) -> requests.Response:
        """What it answers to the user."""
        return self.call(method, path, headers={"Authorization": f"Bearer {self.token}"}, **options)

    def sign_in(self) -> None:
        """With email and password, as the apps do. Raises `Wrong`."""
        response = requests.post(
            self.account["SUPABASE_URL"].rstrip("/") + "/auth/v1/token?grant_type=password",
            headers={"apikey": self.account["SUPABASE_ANON_KEY"]},
            json={"email": self.account["SUPABASE_EMAIL"], "password": self.account["SUPABASE_PASSWORD"]},
            timeout=TIMEOUT,
        )
        if response.status_code != 200:
            raise Wrong(f"Supabase answers {response.status_code}: are the email, password and anon key right?")
        self.token = str(response.json()["access_token"])


def read_target(name: str, folder: Path = FOLDER, url: str | None = None) -> Target:
    """The target that `folder/.env.<name>` describes; `url` takes the place of its BASE_URL, and of a missing file.

    Raises `CannotBeChecked`.
    """
    path = folder / f".env.{name}"
    if not path.is_file() and url is None:
        raise CannotBeChecked(f"{path.name} is missing: copy tests/live/example.env to tests/live/{path.name}")
    values = {key: value for key, value in dotenv_values(path).items() if value} if path.is_file() else {}
    given = url or values.get("BASE_URL")
    account = {key: values[key] for key in ACCOUNT if key in values}
    missing = [] if given else ["BASE_URL"]
    missing += [key for key in ACCOUNT if key not in account] if url is None or account else []
    if not given or missing:
        raise CannotBeChecked(f"{path.name} does not set {', '.join(missing)}")
    return Target(name, given.rstrip("/"), account)
