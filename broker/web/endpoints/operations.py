"""For whoever runs it or builds on it: is it alive, can it serve, what does it offer."""

import json

from flask import Blueprint, Response

from broker.errors.base import UsageUnavailable
from broker.web import guards
from broker.web.error_handlers import JSON
from broker.web.openapi.document import document
from broker.web.services import Services, services

# States in which calls are served. Advice may follow a state, after a colon.
SERVING = frozenset({"ok", "stale", "counted without", "restarting", "exhausted", "partly"})

blueprint = Blueprint("operations", __name__)
blueprint.before_request(guards.anyone)


@blueprint.get("/openapi.json")
def description() -> Response:
    """What there is, in the form that tools read."""
    settings = services().settings
    content = document(settings.models, settings.max_completion_tokens)
    return Response(json.dumps(content) + "\n", mimetype=JSON)


@blueprint.get("/health")
def health() -> Response:
    """The process is alive. Asks nothing of anyone."""
    return Response("OK", mimetype="text/plain")


@blueprint.get("/ready")
def ready() -> Response:
    """200 if calls can be served, else 503; each part with "ok" or what is wrong with it."""
    service = services()
    state = {"redis": _redis(service), "supabase": _supabase(service), "openai": _openai(service)}
    state["background"] = _background(service)
    state["budget"] = "exhausted" if service.quota.fuse.is_burnt else "ok"
    can_serve = all(word.partition(":")[0] in SERVING for word in state.values())
    body: dict[str, object] = {"ready": can_serve, "parts": state}
    if service.catalogue.shutdown_dates:
        body["shutdown_dates"] = service.catalogue.shutdown_dates
    if budget := service.quota.fuse.summary():
        body["tenant_budget"] = budget
    return Response(json.dumps(body) + "\n", 200 if can_serve else 503, mimetype=JSON)


def _redis(service: Services) -> str:
    try:
        service.quota.check()
    except UsageUnavailable:
        if service.settings.usage_without_redis == "allow":
            return "counted without"
        return f"away ({service.quota.failure.kind})" if service.quota.failure else "away"
    return "ok"


def _supabase(service: Services) -> str:
    """The last good keys serve while Supabase is away; with a secret, no key is needed at all.

    Where Supabase refuses to check tokens, the advice follows a colon: "partly" if other tokens can be checked.
    """
    if refusal := service.authenticator.refusal:
        is_needed = service.keys.is_empty and not service.settings.supabase_jwt_secret
        return f"{'refused' if is_needed else 'partly'}: {refusal}"
    if service.keys.is_up:
        return "ok"
    return "stale" if service.keys.ever_fetched or service.settings.supabase_jwt_secret else "away"


def _background(service: Services) -> str:
    """Without its vital tasks a worker loses counts or misses that clients leave."""
    if service.background.failing(only_vital=True):
        return "failing"
    return "restarting" if service.background.failing() else "ok"


def _openai(service: Services) -> str:
    if service.upstream.unreachable:
        return f"unreachable ({service.upstream.unreachable})"
    return "key refused" if service.catalogue.key_refused else "ok"
