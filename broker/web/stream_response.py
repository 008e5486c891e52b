"""Streamed responses. A fault within the stream becomes its last line."""

import functools
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import cast

from broker.errors.base import ClientLeft, Fault
from broker.openai.streaming import pass_through
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.pass_through import Relay
from broker.web import error_handlers, request_context
from broker.web.flask_app import Response
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


def pass_on(upstream: Stream, relay: Relay, before_each: Callable[[], None] | None = None) -> Response:
    """Return a response that passes an open stream of events on to the client.

    It begins with the answer, or after one ping interval; an earlier failure is raised, so it gets its own status.
    `before_each` is called before the client gets the events of a read.
    """
    context, service = request_context.current(), services()
    context.at_end(upstream.close)
    context.openai_id = upstream.request_id
    interval = service.settings.stream_ping_interval
    pieces = _counted(pass_through.pieces(upstream, relay, interval), relay, before_each)
    opening = pass_through.take_opening(pieces, relay, interval)
    service.metrics.streams_in_flight.inc()
    context.at_end(service.metrics.streams_in_flight.dec)
    return stream(itertools.chain((opening,), filter(None, pieces)), relay.last_event, EVENT_STREAM)


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


def _counted(pieces: Iterator[bytes], relay: Relay, before_each: Callable[[], None] | None) -> Iterator[bytes]:
    """Yield the pieces. The call counts once a part of the answer itself is among them."""
    context, metrics, is_counted = request_context.current(), services().metrics, False
    try:
        for piece in pieces:
            if before_each:
                before_each()
            if relay.begun and not is_counted:
                is_counted = True
                context.settle()
                metrics.first_token_sent(context.model or "", context.seconds)
            if relay.is_charged:  # an SDK sends its next call once it has read the last event
                _note_usage(context, relay)
                context.finish()
            yield piece
    finally:
        _note_usage(context, relay)


def _note_usage(context: request_context.RequestContext, relay: Relay) -> None:
    context.usage, context.delivered_tokens = relay.usage, relay.delivered_tokens


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
