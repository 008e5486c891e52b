"""Parses `REDIS_URL`. No message repeats a part of the URL, because any part may hold a piece of the password."""

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_FORM = re.compile(r"(redis|rediss)(?:\+(sentinel|cluster))?://|(unix)://")
_ENCODE = "must have / # ? [ ] and % in the user name and password percent-encoded (/ is %2F, # is %23, ? is %3F)"
_EXAMPLE = "must be a URL such as redis://host:6379 (see config/example.env for Sentinel and Cluster)"
_WORDS = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "client_name", "sentinel_username", "sentinel_password"}
)
_CHOICES = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
_SECONDS = ("socket_timeout", "socket_connect_timeout")
_PORTS = {"sentinel": 26379}


@dataclass(frozen=True)
class RedisUrl:
    """The parts of a `REDIS_URL`. `kind` is single, sentinel, cluster or unix."""

    kind: str
    is_tls: bool
    hosts: tuple[tuple[str, int], ...]
    path: str = ""  # of the socket
    service: str = ""  # the Sentinels' name for the master
    db: int = 0
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    options: dict[str, str] = field(default_factory=dict, repr=False)


def parse(text: str) -> RedisUrl:
    """Parse a URL. Raises `ValueError` with a message that starts with "must" and holds no secret."""
    form = _FORM.match(text)
    if form is None:
        raise ValueError(_EXAMPLE)
    if not text.isprintable() or " " in text:
        raise ValueError("must not contain blanks, newlines or other invisible characters")
    authority, path, query = _split(text[form.end() :])
    kind = form[2] or form[3] or "single"
    account, _, addresses = authority.rpartition("@")
    username, _, password = account.partition(":")
    options = _options(query)
    unused = [name for name in options if name.startswith("ssl_") and form[1] != "rediss"]
    if unused:
        raise ValueError(f"must start with rediss{'+' + kind if form[2] else ''}:// for the option {unused[0]}")
    service, db = _service_and_db(kind, path, options.pop("db", ""))
    if kind in ("sentinel", "cluster") and not addresses:
        raise ValueError(_EXAMPLE)
    return RedisUrl(
        kind=kind,
        is_tls=form[1] == "rediss",
        hosts=_hosts(kind, addresses),
        path=unquote(path) if kind == "unix" else "",
        service=service,
        db=db,
        username=unquote(username),
        password=unquote(password),
        options=options,
    )


def check_files(place: RedisUrl) -> None:
    """Read the files for TLS that a URL names. Raises `ValueError` as `parse` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if "ssl_ca_certs" in place.options:
            context.load_verify_locations(place.options["ssl_ca_certs"])
        if "ssl_certfile" in place.options:  # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(place.options["ssl_certfile"], place.options.get("ssl_keyfile"), password="")
    except (OSError, ValueError):
        names = "ssl_ca_certs, ssl_certfile and ssl_keyfile"
        raise ValueError(f"must name readable files in PEM form, the key unencrypted, in the options {names}") from None


def _split(rest: str) -> tuple[str, str, str]:
    """The authority, path and query. An "@" behind the authority, or a fragment, means an unencoded password."""
    split = re.fullmatch(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?", rest)
    if split is None or split[4] or "@" in split[2] + (split[3] or ""):
        raise ValueError(_ENCODE)
    account, addresses = split[1].rpartition("@")[::2]
    if re.search(r"[\[\]]", account) or ("[" not in addresses and addresses.count(":") > addresses.count(",") + 1):
        raise ValueError(_ENCODE if account else "must have IPv6 addresses in brackets: redis://[::1]:6379")
    return split[1], split[2], split[3] or ""


def _hosts(kind: str, addresses: str) -> tuple[tuple[str, int], ...]:
    """A single Redis may go without a host; an empty one in a list would silently be localhost."""
    names = addresses.split(",")
    if len(names) > 1 and kind not in ("sentinel", "cluster"):
        raise ValueError("must start with redis+sentinel:// or redis+cluster:// (rediss+… for TLS) for several hosts")
    if len(names) > 1 and not all(names):
        raise ValueError("must have a host between the commas, and none behind the last host")
    return tuple(_host(name, _PORTS.get(kind, 6379)) for name in names)


def _host(address: str, default_port: int) -> tuple[str, int]:
    try:
        location = urlsplit("//" + address)
        port = default_port if location.port is None else location.port
    except ValueError:
        port = 0
    if not 0 < port < 65_536:
        raise ValueError("must have port numbers from 1 to 65535")
    return location.hostname or "localhost", port


def _service_and_db(kind: str, path: str, db: str) -> tuple[str, int]:
    service, names = "", [name for name in path.strip("/").split("/") if name]
    if kind == "unix":
        if not names:
            raise ValueError("must have the path of the socket: unix:///run/redis.sock")
        names = []
    if kind == "sentinel":
        if not names:
            raise ValueError("must end in the name of the Sentinel service: redis+sentinel://host:26379/mymaster")
        service = unquote(names.pop(0))
    db = names.pop(0) if names else db or "0"
    if names or not re.fullmatch(r"[0-9]{1,6}", db):
        raise ValueError("must end in the number of the database, such as redis://host:6379/0")
    if kind == "cluster" and int(db):
        raise ValueError("must not name a database: a Cluster has only number 0")
    return service, int(db)


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))  # as in the password, + is no blank
    for name, value in options.items():
        if name in _CHOICES and value.lower() not in _CHOICES[name]:
            raise ValueError(f"must have {' or '.join(_CHOICES[name])} for the option {name}")
        if name in _SECONDS and not re.fullmatch(r"(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,6})?", value):
            raise ValueError(f"must have a number of seconds above 0 for the option {name}")
        if name not in (*_WORDS, *_CHOICES, *_SECONDS, "db"):
            known = ", ".join(sorted((*_WORDS, *_CHOICES, *_SECONDS, "db")))
            raise ValueError(f"must have no options but these: {known}")
    return options
