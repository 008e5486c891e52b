"""Ends the open calls of users who are blocked, in each worker.

While a worker has calls of users it reads the recent blocks every `INTERVAL`; a worker without calls sends nothing. The
whole set is read each time, not its changes: a block that was made while Redis did not answer is found once it does.
While Redis does not answer, open calls go on; calls that a worker then admits by itself are not checked for blocks.
"""

import time

from broker.active_calls import OpenCalls
from broker.errors.base import UsageUnavailable
from broker.errors.limits import CallerBlocked
from broker.quota.calls.keys import project_key
from broker.quota.redis_store import Store
from broker.quota.users import user_scripts
from broker.settings.settings import Settings
from broker.telemetry.background import Background

INTERVAL = 0.5  # seconds; with a round trip and the end of the call, less than a second in all


class BlockWatch:
    """One per worker. Built before the fork."""

    def __init__(self, settings: Settings, store: Store, calls: OpenCalls, background: Background) -> None:
        self._key = project_key(settings.supabase_url.partition("://")[2], "blocks", "recent")
        self._store = store
        self._calls = calls
        self._background = background

    def start(self) -> None:
        """Start the background task."""
        self._background.run("block watch", self._keep_looking)

    def look(self) -> None:
        """End the open calls of users who were blocked lately, with `CallerBlocked`."""
        if not self._calls.has_users():
            return
        try:
            users = self._store.run(user_scripts.RECENT, (self._key,), keys=1)
        except UsageUnavailable:
            return
        if users:
            self._calls.end_calls_of(frozenset(user.decode() for user in users), CallerBlocked)

    def _keep_looking(self) -> None:
        while True:
            time.sleep(INTERVAL)
            self.look()
