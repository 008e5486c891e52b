"""The live parts of one app, built once in `create_app` and passed in: nothing is a global."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app

from broker.catalogue import Catalogue
from broker.metrics import Metrics
from broker.open_calls import OpenCalls
from broker.settings import Settings
from broker.sign_in import SignIn
from broker.signing_keys import SigningKeys
from broker.terms import Terms
from broker.upstream import Upstream
from broker.usage import Usage

EXTENSION = "gpt-broker"


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the endpoints call."""

    settings: Settings
    clock: Callable[[], float]  # Unix time, seconds
    metrics: Metrics
    keys: SigningKeys
    sign_in: SignIn
    usage: Usage
    terms: Terms
    upstream: Upstream
    catalogue: Catalogue
    calls: OpenCalls

    def start(self) -> None:
        """Begin what runs in the background. Called in each worker, after the fork."""
        self.metrics.worker_started()
        self.keys.start()
        self.usage.start()
        self.catalogue.start()

    def close(self) -> None:
        """Finish what is unfinished, when a worker goes."""
        self.usage.close()
        self.upstream.close()


def services() -> Services:
    """The services of the app that handles the present request."""
    return cast("Services", current_app.extensions[EXTENSION])
