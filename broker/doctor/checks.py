"""Checks each part that the broker needs. A finding that is not fine carries advice.

Free of charge, except for one short call if a user's sign-in is given.
"""

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from broker.auth import verdicts
from broker.auth.signing_keys import KEY_SET, fetch_keys
from broker.auth.supabase_client import SupabaseClient, SupabaseUnavailable
from broker.doctor import clock, public_checks, user_token
from broker.doctor.findings import Finding
from broker.doctor.public_url import PublicUrl
from broker.doctor.redis_info import RedisUnavailable, read_redis
from broker.doctor.user_token import claims_of
from broker.errors.base import Fault
from broker.errors.openai import OpenAIRefusedKey
from broker.openai.client import Upstream
from broker.quota.redis_clients.urls import redis_client
from broker.settings.settings import Settings

UNREACHABLE = {  # advice by kind of failure: see `broker.errors.network` and `broker.auth.supabase_client`
    "dns": "check the host's name servers and {}",
    "refused": "check outgoing connections and {}",
    "tls": "check {}; does a proxy answer in its place?",
    "certificate": "check {}; set REQUESTS_CA_BUNDLE if the network inspects TLS",
    "cut": "check outgoing connections and {}; set HTTPS_PROXY if the network requires one",
    "status": "check {}, and whether the project is paused",
    "answer": "check {}; does a proxy answer in its place?",
}
REFUSING = {  # advice by kind of failure: see `broker.quota.redis_clients.failures`
    "account": "allow the user of REDIS_URL scripts and all commands on the keys gpt-broker:*",
    "cluster": "if it is a Cluster, REDIS_URL must start with redis+cluster:// (rediss+cluster:// for TLS)",
    "full": "raise maxmemory, or free its disk",
    "replica": "set REDIS_URL to the master",
}
NEARLY_FULL = 0.8  # of Redis's memory


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the findings of every part. `environ` may hold BASE_URL (the public one) and a user's sign-in."""
    yield Finding("settings")
    for check in (_service_key, _signing_keys, _redis, _openai, clock.examine):
        yield from check(settings)
    yield from user_token.examine(settings, environ)
    url = environ.get("BASE_URL", "")
    if not url:
        yield Finding("public URL", "set BASE_URL in tests/live/.env.<tenant>_prod", is_checked=False)
        return
    yield from public_checks.examine(PublicUrl(url))
    yield public_checks.streaming(PublicUrl(url), settings, environ)


def _service_key(settings: Settings) -> Iterator[Finding]:
    """Compare the service key with the project. `Settings` has compared it with the JWT secret already."""
    project = (urlsplit(settings.supabase_url).hostname or "").removesuffix(".supabase.co")
    named = claims_of(settings.supabase_service_key).get("ref")
    is_hosted = settings.supabase_url.endswith(".supabase.co")
    wrong = is_hosted and named not in (None, project)
    yield Finding("service key", f"it belongs to the project '{named}', not to '{project}'" if wrong else "")
    headers = {"apikey": str(settings.supabase_service_key)}
    try:
        with contextlib.closing(SupabaseClient(settings)) as supabase:
            status, body = supabase.get("/settings", headers)
    except SupabaseUnavailable as away:
        yield Finding("Supabase Auth", f"no response ({away}): {_unreachable(away.kind, 'SUPABASE_URL')}")
        return
    yield Finding("Supabase Auth", "" if status == 200 else verdicts.advice(status, body))


def _unreachable(kind: str, variable: str) -> str:
    """Return advice about an unreachable server, which `variable` names."""
    return UNREACHABLE.get(kind, UNREACHABLE["cut"]).format(variable)


def _signing_keys(settings: Settings) -> Iterator[Finding]:
    url = settings.supabase_url + "/auth/v1" + KEY_SET
    try:
        with contextlib.closing(SupabaseClient(settings)) as supabase:
            keys = fetch_keys(supabase)
    except SupabaseUnavailable as away:
        yield Finding("signing keys", f"{url} returns no key set ({away}): {_unreachable(away.kind, 'SUPABASE_URL')}")
        return
    if keys or settings.supabase_jwt_secret:
        yield Finding(
            f"signing keys: {len(keys)} published" + (", and a secret" if settings.supabase_jwt_secret else "")
        )
    else:
        yield Finding("signing keys: none, so Supabase checks every token; SUPABASE_JWT_SECRET avoids that")


def _redis(settings: Settings) -> Iterator[Finding]:
    if settings.redis_url is None:
        yield Finding("Redis", "set REDIS_URL: without it, counts are lost at each restart")
        return
    try:
        state = read_redis(redis_client(settings))
    except RedisUnavailable as error:
        yield Finding("Redis", f"no response ({error}): check that it runs, and REDIS_URL")
        return
    yield Finding(
        "Redis answers", "" if state.is_writable else "it is a read-only replica: set REDIS_URL to the master"
    )
    if state.is_writable and state.refusal:
        advice = REFUSING.get(state.refusal.kind, "check its log, and min-replicas-to-write")
        yield Finding("Redis counts", f"it refuses writes ({state.refusal.kind}: {state.refusal.words}): {advice}")
    is_off = state.is_persistent is False
    yield Finding(
        "Redis keeps the counts",
        "appendonly is off: run CONFIG SET appendonly yes, and set it in its configuration" if is_off else "",
    )
    evicts = state.policy not in (None, "noeviction")
    yield Finding("Redis evicts nothing", f"maxmemory-policy is {state.policy}: set it to noeviction" if evicts else "")
    full = (state.used_share or 0) > NEARLY_FULL
    yield Finding("Redis has room", "more than 80% of maxmemory is used: raise it" if full else "")


def _openai(settings: Settings) -> Iterator[Finding]:
    """List the models, which is free: https://platform.openai.com/docs/api-reference/models/list."""
    upstream = Upstream(settings, lambda _: None)
    try:
        listed = {str(model.get("id")): model for model in upstream.list_models()}
    except OpenAIRefusedKey:
        yield Finding("OpenAI's key", "OpenAI refuses it: create a new key and set OPENAI_API_KEY")
        return
    except Fault as fault:
        kind = upstream.unreachable or fault.code
        yield Finding("OpenAI's key", f"no response from OpenAI ({kind}): {_unreachable(kind, 'OPENAI_BASE_URL')}")
        return
    finally:
        upstream.close()
    yield Finding("OpenAI's key")
    for name in sorted({str(patch["model"]) for patch in settings.models.values()}):
        yield _model(name, listed.get(name))


def _model(name: str, model: Mapping[str, object] | None) -> Finding:
    if model is None:
        return Finding(f"model {name}", "the key has no access to it, or it does not exist: change MODELS")
    date = str(model.get("shutdown_date") or "")
    todo = f"OpenAI shuts it down on {date}: change MODELS before that" if date else ""
    is_over = bool(date) and date <= datetime.datetime.now(datetime.UTC).date().isoformat()
    return Finding(f"model {name}", todo, is_remark=not is_over)
