"""Streamed responses. A fault within the stream becomes its last line."""

import functools
import json
import logging
from collections.abc import Callable, Iterator
from typing import cast

from flask import Response

from broker.errors import bodies
from broker.errors.base import ClientLeft, Fault
from broker.web import error_handlers, request_context
from broker.web.services import Services, services

log = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"
_NO_BUFFERING = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # for nginx: ngx_http_proxy_module


class _StreamBody:
    """The pieces of a stream, with the response's close callback."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class _StreamResponse(Response):
    """A response whose bytes go straight to the server, without Werkzeug's three calls per piece."""

    def get_app_iter(self, _: object) -> _StreamBody:
        """Return the body. Its `close` also closes the pieces, which Werkzeug knows as the response."""
        return _StreamBody(cast("Iterator[bytes]", self.response), self.close)


def stream(pieces: Iterator[bytes], last_piece: Callable[[Fault], bytes], mimetype: str) -> Response:
    """Return a response that sends `pieces` as they arrive. `last_piece` turns a fault into the last piece."""
    context = request_context.current()
    context.is_stream = True
    context.outcome = ClientLeft.code  # until the stream ends
    body = _until_fault(pieces, last_piece, functools.partial(_end_call, context, services()))
    return _StreamResponse(body, mimetype=mimetype, headers=_NO_BUFFERING)


def _end_call(context: request_context.RequestContext, service: Services, fault: Fault | None) -> None:
    """End the call in the quota before the client sees the end of its answer and can send the next call."""
    error_handlers.note_outcome(context, service, fault)
    context.finish()


def error_event(fault: Fault) -> bytes:
    """Return the last event of a stream in OpenAI's format. OpenAI's SDKs raise it as an `APIError`."""
    return b"data: %s\n\n" % json.dumps(bodies.openais(fault)).encode()


def _until_fault(
    pieces: Iterator[bytes], last_piece: Callable[[Fault], bytes], end_call: Callable[[Fault | None], None]
) -> Iterator[bytes]:
    try:
        yield from pieces
        end_call(None)
    except ClientLeft:
        raise  # the server ends the connection without the last chunk, which marks the answer as cut
    except Fault as fault:
        end_call(fault)
        yield last_piece(fault)
    except Exception as error:
        log.error("a stream failed in the broker", exc_info=error)
        end_call(Fault())
        yield last_piece(Fault())
