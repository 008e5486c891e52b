"""One request and its answer, between gunicorn's parser and the app: gunicorn's own way, less what the broker does
not use of it: an access log that is computed though nobody reads it, hooks, files, other protocols.
"""

import contextlib
import logging
import socket
from typing import Any

import gevent
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

from broker.server.response_writer import AnswerWriter

log = logging.getLogger(__name__)


class ExchangeWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker with a shorter way to the app."""

    def init_process(self) -> None:
        """In the new process; returns at its end."""
        # gunicorn looks some twenty settings up for each request, by a `__getattr__` that this makes superfluous
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """Raises StopIteration, gunicorn's way to say that the connection is to be closed."""
        answer, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, response_class=AnswerWriter)
        environ["wsgi.multithread"] = True
        req.headers = [field for field in req.headers if field[0] == "CONNECTION"]  # the others are in `environ`
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not (self.alive and self.cfg.keepalive):
            answer.force_close()
        try:
            self._answer(environ, answer)
        except (gevent.GreenletExit, SystemExit):
            return
        except OSError:
            raise
        except Exception as error:
            if not answer.headers_sent:
                raise
            log.error("a request failed in the server", exc_info=error)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            raise StopIteration from None
        if answer.should_close():
            raise StopIteration

    def _answer(self, environ: dict[str, Any], answer: AnswerWriter) -> None:
        body = self.wsgi(environ, answer.start_response)
        environ.clear()  # the answer is under way, and may be for minutes: nothing of the request is wanted any more
        try:
            for part in body:
                answer.write(part)
            answer.close()
        finally:
            body.close()
