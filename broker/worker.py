"""gunicorn's gevent worker, with an end for open streams.

gunicorn kills a worker that is not done within `graceful_timeout`, and then no `finally` runs: so
a moment before, every open call is ended with its last line, its upstream closed, its count settled.
"""

from types import FrameType

import gevent
from gunicorn.workers.ggevent import GeventWorker

from broker.services import EXTENSION, Services

LAST_MOMENT = 3.0  # seconds before the kill


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """One process that serves calls."""

    def services(self) -> Services:
        """The services of the app that this worker runs."""
        return self.wsgi.extensions[EXTENSION]  # type: ignore[no-any-return]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: no new calls; those under way may end by themselves, for a while."""
        patience = max(0.0, self.cfg.graceful_timeout - LAST_MOMENT)
        gevent.spawn_later(patience, self.services().calls.stop)
        super().handle_exit(sig, frame)
