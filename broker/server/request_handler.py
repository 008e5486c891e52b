"""gunicorn's request handler without access log, hooks, sendfile and HTTP/2."""

import contextlib
import logging
import socket
from typing import Any

import gevent
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

from broker.errors.base import ClientLeft
from broker.server.response_writer import ResponseWriter

log = logging.getLogger(__name__)

CLIENT_TIMEOUT = "client_timeout"  # the outcome of a response of which the client read nothing for too long


class RequestHandler(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker with a shorter path from a parsed request to the app."""

    def init_process(self) -> None:
        """Run the worker in its new process."""
        # gunicorn looks up some twenty settings per request through `__getattr__`; this makes them plain attributes
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """Handle one request. Raises StopIteration, which makes gunicorn close the connection."""
        response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, response_class=ResponseWriter)
        environ["wsgi.multithread"] = True
        req.headers = [field for field in req.headers if field[0] == "CONNECTION"]  # the other fields are in `environ`
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not (self.alive and self.cfg.keepalive):
            response.force_close()
        try:
            self._respond(environ, response)
        except (gevent.GreenletExit, SystemExit):
            return
        except (OSError, StopIteration):
            raise
        except Exception as error:
            if not response.headers_sent:
                raise
            log.error("a request failed in the server", exc_info=error)
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            raise StopIteration from None
        if response.should_close():
            raise StopIteration

    def _respond(self, environ: dict[str, Any], response: ResponseWriter) -> None:
        delivery = environ["broker.delivery"] = {}
        body = self.wsgi(environ, response.start_response)
        environ.clear()  # a response may take minutes: release what the request holds
        try:
            for piece in body:
                response.write(piece)
            response.close()
        except ClientLeft:
            raise StopIteration from None  # a cut response must not look complete
        except TimeoutError:
            delivery["failure"] = CLIENT_TIMEOUT
            raise
        except OSError:
            delivery["failure"] = ClientLeft.code
            raise
        finally:
            body.close()  # logs the request, with the failure
