"""The settings: read once from an environment, all problems told in one message, then frozen.

Every variable is explained in `config/example.env`.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

WIRE_MODELS = ("gpt-4o", "gpt-4o-mini")


class SettingsInvalid(Exception):
    """The environment cannot be used; the message names every variable that is wrong, never a secret."""


class Secret(str):
    """A text that does not show itself in a repr, and so not in a traceback or a printed settings object."""

    def __repr__(self) -> str:
        return "Secret('…')"


def _setting(variable: str, parse: Callable[[str], Any], default: object = dataclasses.MISSING) -> Any:
    """One field of `Settings`: its environment variable, how its text is read, its default if it has one."""
    return dataclasses.field(metadata={"variable": variable, "parse": parse, "default": default})


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be a URL such as https://host")
    return text.rstrip("/")


def _redis_url(text: str) -> Secret:
    parts = urlsplit(text)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme == "unix" and not kind:
        return Secret(text)
    if scheme not in ("redis", "rediss") or kind not in ("", "sentinel", "cluster") or not parts.netloc:
        raise ValueError("must be a URL such as redis://host:6379 (see config/example.env for Sentinel and Cluster)")
    if kind == "sentinel" and not parts.path.strip("/"):
        raise ValueError("must end in the name of the Sentinel service: redis+sentinel://host:26379/mymaster")
    return Secret(text)


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"must be a whole number of at least {least}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("must be a number of seconds above 0")
    return value


def _flag(text: str) -> bool:
    if text.lower() not in ("on", "off", "true", "false", "1", "0"):
        raise ValueError("must be on or off")
    return text.lower() in ("on", "true", "1")


def _id_list(text: str) -> frozenset[str]:
    ids = _json(text)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ValueError('must be a JSON list of user ids, such as ["123e4567-e89b-12d3-a456-426614174000"]')
    return frozenset(ids)


def _models(text: str) -> Mapping[str, Mapping[str, object]]:
    """The names that clients use, each with the merge patch (RFC 7396) that turns a request into OpenAI's."""
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


def _origins(text: str) -> tuple[str, ...]:
    return tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator chose. Times are in seconds, sizes in bytes."""

    openai_api_key: Secret = _setting("OPENAI_API_KEY", Secret)
    supabase_url: str = _setting("SUPABASE_URL", _url)
    supabase_service_key: Secret = _setting("SUPABASE_SERVICE_KEY", Secret)
    redis_url: Secret | None = _setting("REDIS_URL", _redis_url, None)
    redis_required: bool = _setting("REDIS_REQUIRED", _flag, default=False)
    daily_limit: int = _setting("DAILY_LIMIT", _whole(0), 50)
    id_white_list: frozenset[str] = _setting("ID_WHITE_LIST", _id_list, frozenset())
    supabase_jwt_secret: Secret | None = _setting("SUPABASE_JWT_SECRET", Secret, None)
    supabase_jwt_issuer: str = _setting("SUPABASE_JWT_ISSUER", str, "")
    openai_base_url: str = _setting("OPENAI_BASE_URL", _url, "https://api.openai.com/v1")
    models: Mapping[str, Mapping[str, object]] = _setting(
        "MODELS", _models, {name: {"model": name} for name in WIRE_MODELS}
    )
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", _origins, ("*",))
    port: int = _setting("PORT", _whole(1), 8011)
    web_concurrency: int = _setting("WEB_CONCURRENCY", _whole(1), min(os.cpu_count() or 1, 4))
    openai_connect_timeout: float = _setting("OPENAI_CONNECT_TIMEOUT", _seconds, 5.0)
    openai_first_byte_timeout: float = _setting("OPENAI_FIRST_BYTE_TIMEOUT", _seconds, 60.0)
    openai_silence_timeout: float = _setting("OPENAI_SILENCE_TIMEOUT", _seconds, 60.0)
    openai_call_timeout: float = _setting("OPENAI_CALL_TIMEOUT", _seconds, 300.0)
    openai_max_retries: int = _setting("OPENAI_MAX_RETRIES", _whole(0), 2)
    openai_max_retry_after: float = _setting("OPENAI_MAX_RETRY_AFTER", _seconds, 20.0)
    redis_connect_timeout: float = _setting("REDIS_CONNECT_TIMEOUT", _seconds, 0.25)
    redis_timeout: float = _setting("REDIS_TIMEOUT", _seconds, 0.5)
    supabase_timeout: float = _setting("SUPABASE_TIMEOUT", _seconds, 2.0)
    max_body_bytes: int = _setting("MAX_BODY_BYTES", _whole(1), 8 * 1024 * 1024)
    graceful_timeout: int = _setting("GRACEFUL_TIMEOUT", _whole(1), 30)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The settings that `environ` holds; a variable that is empty counts as unset.

        Raises `SettingsInvalid`, whose message names every variable that is missing or wrong.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in dataclasses.fields(cls):
            variable, default = field.metadata["variable"], field.metadata["default"]
            text = environ.get(variable, "").strip()
            try:
                if not text and default is dataclasses.MISSING:
                    raise ValueError("is required")
                values[field.name] = field.metadata["parse"](text) if text else default
            except ValueError as why:
                problems.append(f"{variable} {why}")
        problems += _contradictions(values)
        if problems:
            raise SettingsInvalid("The settings cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))
        values["supabase_jwt_issuer"] = values["supabase_jwt_issuer"] or values["supabase_url"] + "/auth/v1"
        return cls(**values)


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between settings that are each well-formed."""
    problems = []
    if values.get("redis_required") and not values.get("redis_url"):
        problems.append("REDIS_URL is required in a container: the embedded store forgets its counts at a restart")
    key, secret = values.get("supabase_service_key", ""), values.get("supabase_jwt_secret")
    if key.startswith("sb_publishable_") or _part(key, 1).get("role", "service_role") != "service_role":
        problems.append("SUPABASE_SERVICE_KEY is a public key: the service_role or sb_secret_… key is needed")
    if secret and _is_hs256(key) and not _signed(key, secret):
        problems.append("SUPABASE_JWT_SECRET did not sign SUPABASE_SERVICE_KEY: they are of different projects")
    return problems


def _part(token: str, index: int) -> dict[str, Any]:
    """A part of a JSON Web Token (RFC 7519) as an object; empty where the text is no such token."""
    try:
        text = token.split(".")[index]
        part = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, IndexError):
        return {}
    return part if isinstance(part, dict) else {}


def _is_hs256(token: str) -> bool:
    return token.count(".") == 2 and _part(token, 0).get("alg") == "HS256"


def _signed(token: str, secret: str) -> bool:
    signed, _, signature = token.rpartition(".")
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"="), signature.encode())
