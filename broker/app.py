"""The app factory. `create_app` reads from top to bottom in the order of a request."""

import functools
import time
from collections.abc import Callable

from flask import Flask

from broker.active_calls import OpenCalls
from broker.auth.authenticator import Authenticator
from broker.auth.remote_check import RemoteCheck
from broker.auth.signing_keys import SigningKeys
from broker.auth.supabase_client import SupabaseClient
from broker.openai.client import Upstream
from broker.openai.model_catalogue import ModelCatalogue
from broker.openai.requests.policy import RequestPolicy
from broker.openai.requests.responses_api.responses import Rules
from broker.openai.responses_client import ResponsesClient
from broker.quota.body_budget import BodyBudget
from broker.quota.quota import Quota
from broker.quota.redis_clients.urls import Client, redis_client
from broker.quota.redis_store import Store
from broker.quota.response_owners import ResponseOwners
from broker.quota.users.block_watch import BlockWatch
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics
from broker.telemetry.span_exporter import SpanExporter
from broker.web import error_handlers, guards, request_context, request_log
from broker.web.endpoints import (
    account,
    chat_completions,
    completions,
    metrics,
    operations,
    playground,
    responses,
    stored_responses,
    stream,
)
from broker.web.flask_app import WebApp
from broker.web.headers import cors, security_headers
from broker.web.services import EXTENSION, Services


def create_app(
    settings: Settings,
    redis: Client | None = None,
    clock: Callable[[], float] = time.time,
    shared_metrics: Metrics | None = None,
) -> Flask:
    """Build an app. `redis` replaces the client for `REDIS_URL`; `clock` gives Unix time in seconds.

    `shared_metrics`: those of an app that this one replaces in the same process.

    Connects to nothing and starts nothing; `Services.start` does that in the worker.
    """
    app = WebApp(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # a path with a double slash is a different path, not a redirect
    app.extensions[EXTENSION] = build_services(settings, redis, clock, shared_metrics)

    app.before_request(request_context.begin)
    app.before_request(cors.preflight)

    app.register_blueprint(completions.blueprint)
    app.register_blueprint(stream.blueprint)
    app.register_blueprint(chat_completions.blueprint)
    app.register_blueprint(responses.blueprint)
    app.register_blueprint(stored_responses.blueprint)
    app.register_blueprint(account.blueprint)
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(metrics.blueprint)
    if settings.playground:
        app.register_blueprint(playground.blueprint)
    error_handlers.register(app)

    # Flask runs these in reverse order
    app.after_request(request_log.log_at_end)
    app.after_request(security_headers.add)
    app.after_request(cors.allow)
    app.after_request(guards.finish)
    app.teardown_request(request_log.end_unanswered)
    return app


def build_services(
    settings: Settings, redis: Client | None, clock: Callable[[], float], shared_metrics: Metrics | None = None
) -> Services:
    """Build and connect the services."""
    metrics = shared_metrics or Metrics()
    background = Background(metrics.background_restarted)
    client = redis or redis_client(settings)
    supabase = SupabaseClient(settings, metrics.supabase_failed)
    keys = SigningKeys(supabase, metrics, background)
    is_required = settings.usage_without_redis == "refuse"
    store = Store(client, metrics, is_required=is_required)
    quota = Quota(settings, store, metrics, clock, background)
    upstream = Upstream(settings, metrics.upstream_retried, metrics.openai_disconnected)
    watch = functools.partial(background.run, "client watcher", is_vital=True)
    calls = OpenCalls(settings.openai_call_timeout, settings.max_calls_per_worker, watch)
    return Services(
        settings=settings,
        clock=clock,
        metrics=metrics,
        background=background,
        supabase=supabase,
        keys=keys,
        policy=_request_policy(settings),
        authenticator=Authenticator(settings, keys, RemoteCheck(supabase), clock),
        quota=quota,
        owners=ResponseOwners(settings, store, quota),
        response_rules=_response_rules(settings),
        upstream=upstream,
        responses=ResponsesClient(upstream, settings.openai_silence_timeout),
        catalogue=ModelCatalogue(_asked_for(settings), upstream.list_models, background),
        calls=calls,
        blocks=BlockWatch(settings, store, calls, background),
        spans=_span_exporter(settings, metrics),
        bodies=BodyBudget(settings.max_body_bytes_per_user, settings.max_body_bytes_per_worker),
    )


def _span_exporter(settings: Settings, metrics: Metrics) -> SpanExporter | None:
    if settings.otel_endpoint is None:
        return None
    resource = {"service.name": settings.otel_service_name, "service.version": settings.revision}
    return SpanExporter(settings.otel_endpoint, settings.otel_headers, resource, metrics.spans_exported)


def _request_policy(settings: Settings) -> RequestPolicy:
    return RequestPolicy(
        patches=settings.models,
        max_completion_tokens=settings.max_completion_tokens,
        max_messages=settings.max_messages,
        max_prompt_characters=settings.max_prompt_characters,
        secret=settings.supabase_service_key,
    )


def _response_rules(settings: Settings) -> Rules:
    return Rules(
        models=settings.models,
        most_tokens=settings.max_completion_tokens,
        is_store_allowed=settings.responses_store == "allow",
        hosted_tools=settings.hosted_tools,
    )


def _asked_for(settings: Settings) -> frozenset[str]:
    return frozenset(str(patch["model"]) for patch in settings.models.values())
