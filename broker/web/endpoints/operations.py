"""Health, readiness and the OpenAPI document. No token is required."""

import json

from flask import Blueprint

from broker.errors.base import UsageUnavailable
from broker.web import guards
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.openapi.document import document
from broker.web.services import Services, services

# States of a part in which calls are served. Advice may follow a state, after a colon.
SERVING = frozenset({"ok", "stale", "counted without", "restarting", "exhausted", "partly"})

blueprint = Blueprint("operations", __name__)
blueprint.before_request(guards.anyone)


@blueprint.get("/openapi.json")
def description() -> Response:
    """Serve the OpenAPI document."""
    settings = services().settings
    content = document(settings.models, settings.max_completion_tokens)
    return Response(json.dumps(content) + "\n", mimetype=JSON)


@blueprint.get("/health")
def health() -> Response:
    """Report that the process is alive. Checks no other service."""
    return Response("OK", mimetype="text/plain")


@blueprint.get("/ready")
def ready() -> Response:
    """Report whether calls can be served: 200 or 503, with the state of each part."""
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
    """Return Supabase's state. The last known keys serve during an outage; with a secret no keys are needed.

    If Supabase refuses to check tokens, advice follows a colon; "partly" means that other tokens can be checked.
    """
    if refusal := service.authenticator.refusal:
        is_needed = service.keys.is_empty and not service.settings.supabase_jwt_secret
        return f"{'refused' if is_needed else 'partly'}: {refusal}"
    if service.keys.is_up:
        return "ok"
    if service.keys.ever_fetched or service.settings.supabase_jwt_secret:
        return f"stale: unreachable ({service.keys.failure})" if service.keys.failure else "stale"
    return f"away ({service.keys.failure})" if service.keys.failure else "away"


def _background(service: Services) -> str:
    """Return the state of the background tasks. Without the vital ones a worker loses counts or misses disconnects."""
    if service.background.failing(only_vital=True):
        return "failing"
    return "restarting" if service.background.failing() else "ok"


def _openai(service: Services) -> str:
    if service.upstream.unreachable:
        return f"unreachable ({service.upstream.unreachable})"
    return "key refused" if service.catalogue.key_refused else "ok"
