"""The services of one app, built once in `create_app` and passed in: none is a global."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from flask import current_app

from broker.active_calls import OpenCalls
from broker.auth.authenticator import Authenticator
from broker.auth.signing_keys import SigningKeys
from broker.auth.supabase_client import SupabaseClient
from broker.openai.client import Upstream
from broker.openai.model_catalogue import ModelCatalogue
from broker.openai.requests.policy import RequestPolicy
from broker.openai.requests.responses_api.responses import Rules
from broker.openai.responses_client import ResponsesClient
from broker.quota.body_budget import BodyBudget
from broker.quota.quota import Quota
from broker.quota.response_owners import ResponseOwners
from broker.quota.users.block_watch import BlockWatch
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics
from broker.telemetry.span_exporter import SpanExporter

EXTENSION = "gpt-broker"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The services that endpoints and guards call."""

    settings: Settings
    clock: Callable[[], float]  # Unix time, seconds
    metrics: Metrics
    background: Background
    supabase: SupabaseClient
    keys: SigningKeys
    authenticator: Authenticator
    quota: Quota
    policy: RequestPolicy
    owners: ResponseOwners
    response_rules: Rules
    upstream: Upstream
    responses: ResponsesClient
    catalogue: ModelCatalogue
    calls: OpenCalls
    blocks: BlockWatch
    bodies: BodyBudget
    spans: SpanExporter | None  # None unless OTEL_EXPORTER_OTLP_ENDPOINT is set

    def start(self) -> None:
        """Start the background tasks. Called in each worker, after the fork."""
        self.metrics.worker_started(self.settings.revision)
        self.keys.start()
        self.quota.start()
        self.blocks.start()
        if self.spans:
            self.spans.start(self.background)
        self.catalogue.start()

    def close(self) -> None:
        """Finish pending writes and close connections. Called when a worker ends."""
        self.quota.close()
        self.upstream.close()
        if self.spans:
            self.spans.close()
        self.supabase.close()


_current: ContextVar[Services] = ContextVar("services")  # `current_app` takes twenty times as long


def begin() -> None:
    """Begin a request of the current app."""
    _current.set(current_app.extensions[EXTENSION])


def services() -> Services:
    """Return the services of the current request's app."""
    return _current.get()
