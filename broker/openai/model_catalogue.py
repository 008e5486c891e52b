"""Shutdown dates of the configured models, and whether OpenAI accepts the key.

https://platform.openai.com/docs/deprecations; `GET /v1/models` carries `shutdown_date`. A failed fetch is retried
later and never fails a call.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from broker.errors.base import Fault
from broker.errors.openai import OpenAIRefusedKey, OpenAIUnreachable
from broker.telemetry.background import Background

log = logging.getLogger(__name__)

REFRESH = 86_400.0  # seconds between fetches after a success
RETRY = 60.0  # seconds between fetches after a failure
KEY_RETRY = 3.0  # seconds between fetches while calls fail because of the key or the connection


class ModelCatalogue:
    """The configured models and their shutdown dates. Built before the fork; call `start` after it."""

    def __init__(
        self,
        models: frozenset[str],
        fetch: Callable[[], list[dict[str, Any]]],
        background: Background | None = None,
    ) -> None:
        """`models`: OpenAI's names of the configured models. `fetch` returns OpenAI's list or raises a Fault."""
        self._models = models
        self._fetch = fetch
        self._background = background or Background()
        self.shutdown_dates: dict[str, str] = {}
        self.key_refused = False
        self._is_checking_key = False
        self._retry = RETRY

    def start(self) -> None:
        """Fetch the list now and then daily, in the background."""
        self._background.run("model catalogue", self._refresh_forever)

    def refresh(self) -> bool:
        """Fetch the list once; return whether OpenAI answered."""
        try:
            listed = self._fetch()
        except OpenAIRefusedKey:
            self._note_refused_key()
            return False
        except Fault as fault:
            self._retry = KEY_RETRY if isinstance(fault, OpenAIUnreachable) else RETRY
            return False
        self.key_refused = False
        self._note_dates(listed)
        return True

    def check_key(self) -> None:
        """A call was refused because of the key: fetch in the background until OpenAI accepts it."""
        self._note_refused_key()
        if not self._is_checking_key:
            self._is_checking_key = True
            self._background.run("OpenAI key check", self._refresh_until_accepted)

    def _refresh_until_accepted(self) -> None:
        while self._is_checking_key:
            time.sleep(KEY_RETRY)
            self._is_checking_key = not self.refresh()

    def _note_refused_key(self) -> None:
        if not self.key_refused:
            log.error("OpenAI refuses the OPENAI_API_KEY")
        self.key_refused = True

    def _refresh_forever(self) -> None:
        while True:
            time.sleep(REFRESH if self.refresh() else self._retry)

    def _note_dates(self, listed: list[dict[str, Any]]) -> None:
        dates = {
            str(model["id"]): str(model["shutdown_date"])
            for model in listed
            if model.get("id") in self._models and model.get("shutdown_date")
        }
        for model, date in dates.items():
            if self.shutdown_dates.get(model) != date:
                log.warning(
                    "OpenAI shuts this model down: set MODELS in time", extra={"model": model, "shutdown_date": date}
                )
        self.shutdown_dates = dates
