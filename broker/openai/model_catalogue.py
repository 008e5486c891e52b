"""What OpenAI says of the models that this broker asks for: above all, when one will be shut down.

https://platform.openai.com/docs/deprecations; `GET /v1/models` carries `shutdown_date`. Nothing here ever
fails a call: a catalogue that cannot be fetched is asked for again later.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from broker.errors.base import Fault
from broker.errors.openai import OpenAIRefusedKey

log = logging.getLogger(__name__)

REFRESH = 86_400.0  # seconds between looks while OpenAI answers
SOON = 3.0  # seconds between looks while calls are refused for the key
RETRY = 60.0  # seconds between looks while it does not


class Catalogue:
    """The models that are asked for, with their last day. Built before the fork; `start` it after."""

    def __init__(self, models: frozenset[str], fetch: Callable[[], list[dict[str, Any]]]) -> None:
        """`models`: OpenAI's names for those asked for; `fetch` gives OpenAI's list, or raises a Fault."""
        self._models = models
        self._fetch = fetch
        self.shutdown_dates: dict[str, str] = {}
        self.key_refused = False
        self._is_looking_again = False

    def start(self) -> None:
        """Look now, and then daily, in the background."""
        threading.Thread(target=self._keep_looking, name="catalogue", daemon=True).start()

    def look(self) -> bool:
        """Fetch the list once; whether OpenAI answered."""
        try:
            listed = self._fetch()
        except OpenAIRefusedKey:
            self._note_refused_key()
            return False
        except Fault:
            return False
        self.key_refused = False
        self._note_dates(listed)
        return True

    def look_again(self) -> None:
        """A call was refused for the key: look, in the background, until OpenAI takes it."""
        self._note_refused_key()
        if not self._is_looking_again:
            self._is_looking_again = True
            threading.Thread(target=self._look_until_taken, name="catalogue", daemon=True).start()

    def _look_until_taken(self) -> None:
        while self._is_looking_again:
            time.sleep(SOON)
            self._is_looking_again = not self.look()

    def _note_refused_key(self) -> None:
        if not self.key_refused:
            log.error("OpenAI refuses the OPENAI_API_KEY")
        self.key_refused = True

    def _keep_looking(self) -> None:
        while True:
            time.sleep(REFRESH if self.look() else RETRY)

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
