"""Parsers for settings: text in, value out, or a ValueError whose message states what is expected. Pure."""

import ipaddress
import json
import math
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

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
    split = urlsplit(text)
    if split.scheme not in ("http", "https") or not split.hostname or split.query or split.fragment:
        raise ValueError("must be a URL such as https://host")
    return text.rstrip("/")


def redis_url(text: str) -> Secret:
    """A URL that `redis_urls.connect` accepts."""
    split = urlsplit(text)
    scheme, _, kind = split.scheme.partition("+")
    if scheme == "unix" and not kind:
        return Secret(text)
    if scheme not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster") or not split.netloc:
        raise ValueError("must be a URL such as redis://host:6379 (see config/example.env for Sentinel and Cluster)")
    if kind == "sentinel" and not split.path.strip("/"):
        raise ValueError("must end in the name of the Sentinel service: redis+sentinel://host:26379/mymaster")
    return Secret(text)


def whole(least: int) -> Callable[[str], int]:
    """A parser for whole numbers of at least `least`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"must be a whole number of at least {least}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("must be a number of seconds above 0")
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
    """A JSON list of user ids."""
    ids = _json(text)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
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
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("must be JSON") from None


def origins(text: str) -> tuple[str, ...]:
    """Origins separated by commas."""
    return tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())


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
