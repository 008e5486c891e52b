"""The settings: read once from an environment, validated together, then frozen.

Every variable is explained in `config/example.env`.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from broker.settings.networks import Network
from broker.settings.parsers import (
    SAMPLING_PARAMETERS,
    WIRE_MODELS,
    Secret,
    droppable_parameters,
    flag,
    id_list,
    models_table,
    networks,
    one_of,
    origins,
    redis_url,
    seconds,
    url,
    whole,
)

# loopback, RFC 1918 and RFC 4193: the networks of a local Prometheus
PRIVATE = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"


class SettingsInvalid(Exception):
    """The environment is invalid. The message names every wrong variable and contains no secret."""


def _setting(variable: str, parse: Callable[[str], Any], default: object = dataclasses.MISSING) -> Any:
    """A field of `Settings`: its environment variable, its parser, and its default if it has one."""
    return dataclasses.field(metadata={"variable": variable, "parse": parse, "default": default})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The operator's settings. Times are in seconds, sizes in bytes."""

    openai_api_key: Secret = _setting("OPENAI_API_KEY", Secret)
    supabase_url: str = _setting("SUPABASE_URL", url)
    supabase_service_key: Secret = _setting("SUPABASE_SERVICE_KEY", Secret)
    redis_url: Secret | None = _setting("REDIS_URL", redis_url, None)
    redis_required: bool = _setting("REDIS_REQUIRED", flag, default=False)
    daily_limit: int = _setting("DAILY_LIMIT", whole(0), 50)
    anonymous_daily_limit: int | None = _setting("ANONYMOUS_DAILY_LIMIT", whole(0), None)
    id_white_list: frozenset[str] = _setting("ID_WHITE_LIST", id_list, frozenset())
    blocked_ids: frozenset[str] = _setting("BLOCKED_IDS", id_list, frozenset())
    usage_without_redis: str = _setting("USAGE_WITHOUT_REDIS", one_of("refuse", "allow"), "refuse")
    supabase_jwt_secret: Secret | None = _setting("SUPABASE_JWT_SECRET", Secret, None)
    supabase_jwt_issuer: str = _setting("SUPABASE_JWT_ISSUER", str, "")
    supabase_anon_key: str | None = _setting("SUPABASE_ANON_KEY", str, None)
    playground: bool = _setting("PLAYGROUND", flag, default=False)
    openai_base_url: str = _setting("OPENAI_BASE_URL", url, "https://api.openai.com/v1")
    models: Mapping[str, Mapping[str, object]] = _setting(
        "MODELS", models_table, {name: {"model": name} for name in WIRE_MODELS}
    )
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", origins, ("*",))
    port: int = _setting("PORT", whole(1), 8011)
    web_concurrency: int = _setting("WEB_CONCURRENCY", whole(1), min(os.cpu_count() or 1, 4))
    openai_connect_timeout: float = _setting("OPENAI_CONNECT_TIMEOUT", seconds, 5.0)
    openai_first_byte_timeout: float = _setting("OPENAI_FIRST_BYTE_TIMEOUT", seconds, 60.0)
    openai_silence_timeout: float = _setting("OPENAI_SILENCE_TIMEOUT", seconds, 60.0)
    openai_call_timeout: float = _setting("OPENAI_CALL_TIMEOUT", seconds, 300.0)
    openai_max_retries: int = _setting("OPENAI_MAX_RETRIES", whole(0), 2)
    droppable_parameters: frozenset[str] = _setting("DROPPABLE_PARAMETERS", droppable_parameters, SAMPLING_PARAMETERS)
    openai_max_retry_after: float = _setting("OPENAI_MAX_RETRY_AFTER", seconds, 20.0)
    stream_ping_interval: float = _setting("STREAM_PING_INTERVAL", seconds, 15.0)
    max_completion_tokens: int = _setting("MAX_COMPLETION_TOKENS", whole(1), 16_384)
    redis_connect_timeout: float = _setting("REDIS_CONNECT_TIMEOUT", seconds, 0.25)
    redis_timeout: float = _setting("REDIS_TIMEOUT", seconds, 0.5)
    supabase_timeout: float = _setting("SUPABASE_TIMEOUT", seconds, 2.0)
    max_body_bytes: int = _setting("MAX_BODY_BYTES", whole(1), 8 * 1024 * 1024)
    metrics_allow: tuple[Network, ...] = _setting("METRICS_ALLOW", networks, networks(PRIVATE))
    max_messages: int = _setting("MAX_MESSAGES", whole(1), 1000)
    max_prompt_characters: int = _setting("MAX_PROMPT_CHARACTERS", whole(1), 1_000_000)
    max_calls_per_user: int | None = _setting("MAX_CALLS_PER_USER", whole(1), None)
    max_calls_per_worker: int = _setting("MAX_CALLS_PER_WORKER", whole(1), 8000)
    client_timeout: float = _setting("CLIENT_TIMEOUT", seconds, 30.0)
    trusted_proxies: tuple[Network, ...] = _setting("TRUSTED_PROXIES", networks, ())
    worker_max_rss: int = _setting("WORKER_MAX_RSS", whole(0), 1024 * 1024 * 1024)
    graceful_timeout: int = _setting("GRACEFUL_TIMEOUT", whole(1), 30)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from `environ`. An empty variable counts as unset.

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
    """Problems between settings that are each well-formed."""
    problems = []
    if values.get("redis_required") and not values.get("redis_url"):
        problems.append("REDIS_URL is required in a container: the embedded store forgets its counts at a restart")
    key, secret = values.get("supabase_service_key", ""), values.get("supabase_jwt_secret")
    if key.startswith("sb_publishable_") or _token_part(key, 1).get("role", "service_role") != "service_role":
        problems.append("SUPABASE_SERVICE_KEY is a public key: the service_role or sb_secret_… key is needed")
    public = values.get("supabase_anon_key") or ""
    if public and not public.startswith("sb_publishable_") and _token_part(public, 1).get("role") != "anon":
        problems.append(
            "SUPABASE_ANON_KEY is no public key, and the page would show it: the anon or sb_publishable_… key is needed"
        )
    if secret and _is_hs256(key) and not _signed(key, secret):
        problems.append("SUPABASE_JWT_SECRET did not sign SUPABASE_SERVICE_KEY: they are of different projects")
    return problems


def _token_part(token: str, index: int) -> dict[str, Any]:
    """One part of a JSON Web Token (RFC 7519) as an object; empty if the text is no such token."""
    try:
        text = token.split(".")[index]
        part = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, IndexError):
        return {}
    return part if isinstance(part, dict) else {}


def _is_hs256(token: str) -> bool:
    return token.count(".") == 2 and _token_part(token, 0).get("alg") == "HS256"


def _signed(token: str, secret: str) -> bool:
    signed, _, signature = token.rpartition(".")
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"="), signature.encode())
