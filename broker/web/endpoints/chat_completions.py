"""`POST /v1/chat/completions`: OpenAI's own wire format, for its SDKs. The bytes of the answer are OpenAI's."""

import itertools
from collections.abc import Iterator

from flask import Blueprint, Response

from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.openai.requests import chat_completions
from broker.openai.requests.policy import Body
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.sse_relay import PING, Relay
from broker.telemetry.metrics import Metrics
from broker.web import error_handlers, guards, request_context
from broker.web.services import services

blueprint = Blueprint("openai_api", __name__)
blueprint.before_request(guards.counted)


@blueprint.post("/v1/chat/completions")
def create() -> Response:
    """A chat completion, in one piece or as a stream of events."""
    present, parts = request_context.current(), services()
    asked = chat_completions.read(present.take_body(), parts.settings.models, parts.settings.max_completion_tokens)
    present.model = asked.model
    body = parts.terms.request(asked.body, request_context.caller().id)
    return _stream(body, Relay(with_usage=asked.wants_usage)) if asked.is_stream else _whole(body)


def _whole(body: Body) -> Response:
    present = request_context.current()
    answer, present.openai_id = services().upstream.ask(body, request_context.open_call())
    present.usage = answer.usage
    present.settle()
    return Response(answer.body, mimetype=error_handlers.JSON)


def _stream(body: Body, relay: Relay) -> Response:
    """Begins once the answer itself does, or OpenAI has been silent for long: a failure before has its own status."""
    present, parts = request_context.current(), services()
    upstream = parts.upstream.open_stream(body, request_context.open_call())
    present.at_end(upstream.close)
    present.openai_id = upstream.request_id
    pieces = _counted(_pieces(upstream, relay, parts.settings.stream_ping_interval), relay, present, parts.metrics)
    opening = _opening(pieces, relay)
    parts.metrics.streams_in_flight.inc()
    present.at_end(parts.metrics.streams_in_flight.dec)
    return error_handlers.stream(itertools.chain((opening,), pieces), error_handlers.error_event, "text/event-stream")


def _pieces(upstream: Stream, relay: Relay, patience: float) -> Iterator[bytes]:
    """What the client gets of each read, to the body's end. Raises as `Stream.reads`, and the relay's fault."""
    try:
        for data in upstream.reads(patience):
            yield relay.feed(data) if data else relay.silence()
            if relay.fault:
                raise relay.fault
            if relay.transcript.done:  # read on all the same: the connection is reused only at the body's end
                upstream.expect_end()
    except (OpenAITimeout, StreamBroken):
        if relay.fault or not relay.is_complete:
            raise
    yield relay.finish()
    if relay.fault:
        raise relay.fault


def _counted(
    pieces: Iterator[bytes], relay: Relay, present: request_context.Visit, metrics: Metrics
) -> Iterator[bytes]:
    """The same, less what is empty. The call counts once something of the answer itself is among them."""
    is_counted = False
    try:
        for piece in pieces:
            if relay.begun and not is_counted:
                is_counted = True
                present.settle()
                metrics.first_token_sent(present.model or "", present.seconds)
            if piece:
                yield piece
    finally:
        present.usage = relay.transcript.usage


def _opening(pieces: Iterator[bytes], relay: Relay) -> bytes:
    """All that comes until the answer itself begins, or OpenAI falls silent."""
    opening = b""
    for piece in pieces:
        opening += piece
        if relay.begun or piece == PING:
            break
    return opening
