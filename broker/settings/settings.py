"""The settings: read once from an environment, validated together, then frozen.

Every variable is explained in `config/example.env`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from broker.settings.consistency import contradictions, misspelt
from broker.settings.hosted_tools import hosted_tools
from broker.settings.networks import Network
from broker.settings.parsers import (
    SAMPLING_PARAMETERS,
    WIRE_MODELS,
    Secret,
    certificates,
    droppable_parameters,
    flag,
    id_list,
    models_table,
    names,
    networks,
    one_of,
    origins,
    proxy_url,
    redis_url,
    seconds,
    supabase_url,
    url,
    whole,
)
from broker.settings.plans import Plans, plan_table
from broker.settings.prices import Price, dollars, price_table
from broker.settings.secrets import header_fields, key, key_list, read_file, secret

# loopback, RFC 1918 and RFC 4193: the networks of a local Prometheus
PRIVATE = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"
MOST_WORKERS = 128  # processes; each takes about 60 MB
LONGEST_GRACE = 600  # seconds; the container is killed after 620 (stop_grace_period in deploy/compose.yaml)
FILES = frozenset({  # also <name>_FILE
    "OPENAI_API_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_JWT_SECRET", "REDIS_URL", "OTEL_EXPORTER_OTLP_HEADERS",
})  # fmt: skip


class SettingsInvalid(Exception):
    """The environment is invalid. The message names every wrong variable and contains no secret."""


def _setting(variable: str, parse: Callable[[str], Any], default: object = dataclasses.MISSING) -> Any:
    """A field of `Settings`: its environment variable, its parser, and its default if it has one."""
    return dataclasses.field(metadata={"variable": variable, "parse": parse, "default": default})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The operator's settings. Times are in seconds, sizes in bytes."""

    openai_api_keys: tuple[Secret, ...] = _setting("OPENAI_API_KEY", key_list)
    supabase_url: str = _setting("SUPABASE_URL", supabase_url)
    supabase_service_key: Secret = _setting("SUPABASE_SERVICE_KEY", key)
    redis_url: Secret | None = _setting("REDIS_URL", redis_url, None)
    redis_required: bool = _setting("REDIS_REQUIRED", flag, default=False)
    daily_limit: int = _setting("DAILY_LIMIT", whole(0), 50)
    anonymous_daily_limit: int | None = _setting("ANONYMOUS_DAILY_LIMIT", whole(0), None)
    daily_tokens: int | None = _setting("DAILY_TOKENS", whole(0), None)
    daily_spend: int | None = _setting("DAILY_SPEND", dollars, None)  # this and the next two: nano-dollars
    tenant_daily_spend: int | None = _setting("TENANT_DAILY_SPEND", dollars, None)
    tenant_spend_slice: int | None = _setting("TENANT_SPEND_SLICE", dollars, None)
    budgets: str = _setting("BUDGETS", one_of("enforce", "watch"), "enforce")
    plans: Plans = _setting("PLANS", plan_table, Plans())
    prices: Mapping[str, Price] = _setting("PRICES", price_table, MappingProxyType({}))
    min_output_tokens: int = _setting("MIN_OUTPUT_TOKENS", whole(1), 256)
    free_abandoned_calls: int = _setting("FREE_ABANDONED_CALLS", whole(0), 10)
    usage_kept_days: int = _setting("USAGE_KEPT_DAYS", whole(1, 90), 1)
    oauth_clients: tuple[str, ...] = _setting("OAUTH_CLIENTS", names, ())
    id_white_list: frozenset[str] = _setting("ID_WHITE_LIST", id_list, frozenset())
    blocked_ids: frozenset[str] = _setting("BLOCKED_IDS", id_list, frozenset())
    usage_without_redis: str = _setting("USAGE_WITHOUT_REDIS", one_of("refuse", "allow"), "refuse")
    supabase_jwt_secret: Secret | None = _setting("SUPABASE_JWT_SECRET", secret, None)
    supabase_jwt_issuer: str = _setting("SUPABASE_JWT_ISSUER", str, "")
    supabase_anon_key: str | None = _setting("SUPABASE_ANON_KEY", key, None)
    playground: bool = _setting("PLAYGROUND", flag, default=False)
    openai_base_url: str = _setting("OPENAI_BASE_URL", url, "https://api.openai.com/v1")
    models: Mapping[str, Mapping[str, object]] = _setting(
        "MODELS", models_table, {name: {"model": name} for name in WIRE_MODELS}
    )
    cors_origins: tuple[str, ...] = _setting("CORS_ORIGINS", origins, ("*",))
    port: int = _setting("PORT", whole(1, 65_535), 8011)
    web_concurrency: int = _setting("WEB_CONCURRENCY", whole(1, MOST_WORKERS), min(os.cpu_count() or 1, 4))
    openai_connect_timeout: float = _setting("OPENAI_CONNECT_TIMEOUT", seconds, 5.0)
    openai_first_byte_timeout: float = _setting("OPENAI_FIRST_BYTE_TIMEOUT", seconds, 60.0)
    openai_silence_timeout: float = _setting("OPENAI_SILENCE_TIMEOUT", seconds, 60.0)
    openai_call_timeout: float = _setting("OPENAI_CALL_TIMEOUT", seconds, 600.0)
    openai_upload_timeout: float = _setting("OPENAI_UPLOAD_TIMEOUT", seconds, 30.0)
    openai_idle_timeout: float = _setting("OPENAI_IDLE_TIMEOUT", seconds, 55.0)
    openai_max_idle_connections: int = _setting("OPENAI_MAX_IDLE_CONNECTIONS", whole(0), 256)
    openai_warm_connections: int = _setting("OPENAI_WARM_CONNECTIONS", whole(0), 4)
    ssl_cert_file: str | None = _setting("SSL_CERT_FILE", certificates, None)
    requests_ca_bundle: str | None = _setting("REQUESTS_CA_BUNDLE", certificates, None)
    https_proxy: Secret | None = _setting("HTTPS_PROXY", proxy_url, None)
    no_proxy: str = _setting("NO_PROXY", str, "")
    openai_max_retries: int = _setting("OPENAI_MAX_RETRIES", whole(0), 2)
    droppable_parameters: frozenset[str] = _setting("DROPPABLE_PARAMETERS", droppable_parameters, SAMPLING_PARAMETERS)
    openai_max_retry_after: float = _setting("OPENAI_MAX_RETRY_AFTER", seconds, 20.0)
    stream_ping_interval: float = _setting("STREAM_PING_INTERVAL", seconds, 15.0)
    max_completion_tokens: int = _setting("MAX_COMPLETION_TOKENS", whole(1), 16_384)
    responses_store: str = _setting("RESPONSES_STORE", one_of("allow", "refuse"), "allow")
    responses_kept_days: int = _setting("RESPONSES_KEPT_DAYS", whole(1), 30)
    hosted_tools: frozenset[str] = _setting("HOSTED_TOOLS", hosted_tools, frozenset())
    redis_connect_timeout: float = _setting("REDIS_CONNECT_TIMEOUT", seconds, 0.25)
    redis_timeout: float = _setting("REDIS_TIMEOUT", seconds, 0.5)
    redis_idle_timeout: float = _setting("REDIS_IDLE_TIMEOUT", seconds, 55.0)
    supabase_timeout: float = _setting("SUPABASE_TIMEOUT", seconds, 2.0)
    max_body_bytes: int = _setting("MAX_BODY_BYTES", whole(1), 8 * 1024 * 1024)
    max_body_bytes_per_user: int = _setting("MAX_BODY_BYTES_PER_USER", whole(1), 32 * 1024 * 1024)
    max_body_bytes_per_worker: int = _setting("MAX_BODY_BYTES_PER_WORKER", whole(1), 128 * 1024 * 1024)
    metrics_allow: tuple[Network, ...] = _setting("METRICS_ALLOW", networks, networks(PRIVATE))
    max_messages: int = _setting("MAX_MESSAGES", whole(1), 1000)
    max_prompt_characters: int = _setting("MAX_PROMPT_CHARACTERS", whole(1), 1_000_000)
    max_calls_per_user: int | None = _setting("MAX_CALLS_PER_USER", whole(1), None)
    max_calls_per_worker: int = _setting("MAX_CALLS_PER_WORKER", whole(1), 8000)
    client_timeout: float = _setting("CLIENT_TIMEOUT", seconds, 30.0)
    trusted_proxies: tuple[Network, ...] = _setting("TRUSTED_PROXIES", networks, ())
    worker_max_rss: int = _setting("WORKER_MAX_RSS", whole(0), 1024 * 1024 * 1024)
    otel_endpoint: str | None = _setting("OTEL_EXPORTER_OTLP_ENDPOINT", url, None)
    otel_headers: Mapping[str, Secret] = _setting("OTEL_EXPORTER_OTLP_HEADERS", header_fields, MappingProxyType({}))
    otel_service_name: str = _setting("OTEL_SERVICE_NAME", str, "gpt-broker")
    revision: str = _setting("REVISION", str, "unknown")
    graceful_timeout: int = _setting("GRACEFUL_TIMEOUT", whole(1, LONGEST_GRACE), 30)

    @property
    def ca_file(self) -> str | None:
        """The file of the authorities to trust; None: the public ones."""
        return self.requests_ca_bundle or self.ssl_cert_file

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from `environ`. An empty variable counts as unset.

        Raises `SettingsInvalid`, whose message names every variable that is missing or wrong.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in dataclasses.fields(cls):
            variable, default = field.metadata["variable"], field.metadata["default"]
            try:
                text = read_file(environ, variable) if variable in FILES else environ.get(variable, "").strip()
                if not text and default is dataclasses.MISSING:
                    raise ValueError("is required")
                values[field.name] = field.metadata["parse"](text) if text else default
            except ValueError as why:
                problems.append(f"{variable} {_message(why)}")
        problems += contradictions(values)
        problems += misspelt(environ, cls.variables())
        if problems:
            raise SettingsInvalid("The settings cannot be used:\n" + "\n".join(f"  - {p}" for p in problems))
        values["supabase_jwt_issuer"] = values["supabase_jwt_issuer"] or values["supabase_url"] + "/auth/v1"
        return cls(**values)

    @classmethod
    def variables(cls) -> frozenset[str]:
        """The environment variables that are read."""
        names = frozenset(field.metadata["variable"] for field in dataclasses.fields(cls))
        return names | {f"{name}_FILE" for name in FILES}


def _message(why: ValueError) -> str:
    """A parser's message, which begins with "must" or "is". A library's may repeat a part of the value."""
    text = str(why)
    return text if type(why) is ValueError and text.startswith(("must ", "is ")) else "must be well-formed"
