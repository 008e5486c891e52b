"""Checks across several settings: contradictions and misspelt names. Pure."""

import base64
import difflib
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

from broker.settings.plans import Plans
from broker.settings.prices import price_of

RESEMBLANCE = 0.88  # of difflib's ratio, 0..1: one letter is wrong, missing or extra
SHORTEST = 6  # letters of a name that is compared; shorter ones resemble names of other programs

# Names that resemble ours and have a meaning of their own. Where HTTPS_PROXY is set, HTTP_PROXY usually is as well:
# Docker's client sets both. Logs and metrics: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
OF_OTHERS = frozenset({
    "HTTP_PROXY", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
})  # fmt: skip


def misspelt(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """One problem for each of `names` that is not in `known` but resembles one of them."""
    ours = sorted(known)
    unknown = [name for name in names if name not in {*ours, *OF_OTHERS} and len(name) >= SHORTEST and name.isupper()]
    close = {name: difflib.get_close_matches(name, ours, n=1, cutoff=RESEMBLANCE) for name in sorted(unknown)}
    return [f"{name} is not a setting: {match[0]} is meant?" for name, match in close.items() if match]


def contradictions(values: Mapping[str, Any]) -> list[str]:
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
    sizes = [
        values.get(name) or 0 for name in ("max_body_bytes", "max_body_bytes_per_user", "max_body_bytes_per_worker")
    ]
    if all(sizes) and sizes != sorted(sizes):
        problems.append("MAX_BODY_BYTES must not exceed MAX_BODY_BYTES_PER_USER, nor that MAX_BODY_BYTES_PER_WORKER")
    return problems + _unpriced(values) + _unknown_models(values)


def _unpriced(values: Mapping[str, Any]) -> list[str]:
    """Models without a price, if there is a limit in dollars: their calls would be free."""
    plans = values.get("plans", Plans()).plans.values()
    limits = [values.get("daily_spend"), values.get("tenant_daily_spend"), *(plan.spend for plan in plans)]
    if all(limit is None for limit in limits):
        return []
    asked_for = {str(patch["model"]) for patch in values.get("models", {}).values()}
    unknown = sorted(model for model in asked_for if price_of(model, values.get("prices", {})) is None)
    return [f"PRICES has to price {', '.join(unknown)}: a limit in dollars is set"] if unknown else []


def _unknown_models(values: Mapping[str, Any]) -> list[str]:
    """A plan with a misspelt model would refuse the one that is meant."""
    named = {name for plan in values.get("plans", Plans()).plans.values() for name in plan.models or ()}
    unknown = sorted(named - values.get("models", dict.fromkeys(named)).keys())
    return [f"PLANS has models that MODELS has not: {', '.join(unknown)}"] if unknown else []


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
