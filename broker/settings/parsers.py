"""Parsers for settings: text in, value out, or a ValueError whose message states the expected value. Pure."""

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from broker.settings.redis_url import check_files
from broker.settings.redis_url import parse as parse_redis_url

DASHBOARD_HOSTS = frozenset({"supabase.com", "www.supabase.com", "app.supabase.com", "app.supabase.io"})
LONGEST = 86_400.0  # seconds of any time limit
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+")
WIRE_MODELS = ("gpt-4o", "gpt-4o-mini")  # the model names of the public API

# parameters that only tune sampling; the default of DROPPABLE_PARAMETERS
SAMPLING_PARAMETERS = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "prediction"}
)


class Secret(str):
    """A string whose repr hides it, in tracebacks and printed settings."""

    def __repr__(self) -> str:
        return "Secret('…')"


def url(text: str) -> str:
    """An http(s) URL with a host; trailing slashes are removed."""
    split = _split(text)
    if split is None or split.scheme not in ("http", "https") or not split.hostname or split.query or split.fragment:
        raise ValueError("must be a URL such as https://host")
    if "@" in split.netloc:
        raise ValueError("must not contain a user name or password")
    return text.rstrip("/")


def supabase_url(text: str) -> str:
    """The URL of a Supabase project's API, without a path of one of its services."""
    address = url(text)
    host, path = urlsplit(address).hostname, urlsplit(address).path
    if host in DASHBOARD_HOSTS:
        raise ValueError("must be the project's URL, https://<ref>.supabase.co, not a page of the dashboard")
    if re.search(r"/(auth|rest|storage|realtime|functions)/v1$", path):
        raise ValueError("must be the project's URL without a path such as /auth/v1")
    return address


def _split(text: str) -> SplitResult | None:
    """The parts of a URL; None if it has characters or a port that no URL has."""
    if not text.isascii() or not text.isprintable() or " " in text:  # a host of other letters is written in Punycode
        return None
    try:
        split = urlsplit(text)
        return None if split.port == 0 else split
    except ValueError:
        return None


def proxy_url(text: str) -> Secret:
    """The URL of an HTTP proxy that takes CONNECT. It may hold a password, in which `/ # ?` are percent-encoded."""
    parts = _split(text if "://" in text else f"http://{text}")
    if parts is None or parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts[3:] != ("", ""):
        raise ValueError("must be the URL of a proxy: http://proxy:3128, with / # ? of a password as %2F %23 %3F")
    return Secret(parts.geturl())


def certificates(text: str) -> str:
    """The path of a file with certificates in PEM form."""
    try:
        if "-----BEGIN CERTIFICATE-----" in Path(text).read_text(encoding="utf-8", errors="replace"):
            return text
    except OSError:
        pass
    raise ValueError("must be the path of a readable file with certificates (PEM)")


def redis_url(text: str) -> Secret:
    """A URL that `redis_clients.urls.connect` accepts. The files for TLS that it names are readable."""
    check_files(parse_redis_url(text))
    return Secret(text)


def whole(least: int, most: int = 2**53) -> Callable[[str], int]:
    """A parser for whole numbers from `least` to `most`."""
    bounds = f"of at least {least}" if most == 2**53 else f"from {least} to {most}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number {bounds}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST:
        raise ValueError("must be a number of seconds above 0, a day at most")
    return value


def flag(text: str) -> bool:
    """`on` or `off`."""
    if text.lower() not in ("on", "off", "true", "false", "1", "0"):
        raise ValueError("must be on or off")
    return text.lower() in ("on", "true", "1")


def one_of(*words: str) -> Callable[[str], str]:
    """A parser for one of these words."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text.lower()

    return parse


def id_list(text: str) -> frozenset[str]:
    """A JSON list of user ids (UUIDs), in the spelling of Supabase's tokens: lower case, without blanks."""
    listed = _json(text)
    ids = [one.strip().lower() if isinstance(one, str) else "" for one in listed] if isinstance(listed, list) else [""]
    if not all(_UUID.fullmatch(one) for one in ids):
        raise ValueError('must be a JSON list of user ids, such as ["123e4567-e89b-12d3-a456-426614174000"]')
    return frozenset(ids)


def models_table(text: str) -> Mapping[str, Mapping[str, object]]:
    """Maps each public model name to the merge patch (RFC 7396) for the request to OpenAI."""
    table = _json(text)
    if not isinstance(table, dict) or not table:
        raise ValueError('must be a JSON object such as {"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini"}')
    patches = {name: {"model": to} if isinstance(to, str) else to for name, to in table.items()}
    for name, patch in patches.items():
        if not isinstance(patch, dict) or not isinstance(patch.get("model", name), str):
            raise ValueError(f"must give a model's name or a JSON object for '{name}'")
    if missing := [name for name in WIRE_MODELS if name not in patches]:
        raise ValueError(f"must name {' and '.join(missing)}: the endpoints use them")
    return {name: {"model": name, **patch} for name, patch in patches.items()}


def _json(text: str) -> object:
    """RFC 8259: no NaN, and no half of a surrogate pair, which no request could carry."""
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("must be JSON") from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def origins(text: str) -> tuple[str, ...]:
    """Origins separated by commas, as browsers send them: lower case, without the scheme's own port; or `*`."""
    listed = tuple(origin.strip().rstrip("/").lower() for origin in text.split(",") if origin.strip())
    if not listed or not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in listed):
        raise ValueError("must be * or origins separated by commas, such as https://app.example.com")
    return tuple(re.sub(r"^(https://.*):443$|^(http://.*):80$", r"\1\2", origin) for origin in listed)


def droppable_parameters(text: str) -> frozenset[str]:
    """Names of sampling parameters separated by commas; `none` for no parameter."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip()) - {"none"}
    if names - SAMPLING_PARAMETERS:
        raise ValueError(f"must be none, or some of {', '.join(sorted(SAMPLING_PARAMETERS))}")
    return names


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Networks and addresses separated by commas."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be networks separated by commas, such as 127.0.0.0/8, 10.1.2.3") from None


def names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
