"""`POST /v1/chat/completions`: OpenAI's own format, for its SDKs. OpenAI's bytes are passed on unchanged."""

import itertools
from collections.abc import Iterator

from flask import Blueprint, Response

from broker.openai.prepared_call import PreparedCall
from broker.openai.requests import chat_completions
from broker.openai.requests.policy import Body
from broker.openai.streaming import pass_through
from broker.openai.streaming.sse_relay import Relay
from broker.telemetry.metrics import Metrics
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.services import services

blueprint = Blueprint("chat_completions", __name__)
blueprint.before_request(guards.counted)


def _read() -> PreparedCall:
    context, service = request_context.current(), services()
    asked = chat_completions.read(context.take_body(), service.settings.models, service.settings.max_completion_tokens)
    body = service.policy.apply_for_user(asked.body, request_context.caller().id)
    return PreparedCall(asked.model, body, is_stream=asked.is_stream, wants_usage=asked.wants_usage)


@blueprint.post("/v1/chat/completions")
@guards.reads(_read)
def create() -> Response:
    """Answer a chat completion request, whole or as a stream of events."""
    prepared = request_context.prepared()
    body = prepared.take_request()
    return _stream(body, Relay(with_usage=prepared.wants_usage)) if prepared.is_stream else _whole(body)


def _whole(body: Body) -> Response:
    """Ask OpenAI once, here and for streams: OpenAI's SDKs retry by themselves."""
    context = request_context.current()
    reply = services().upstream.ask(body, request_context.open_call(), retry=False)
    context.openai_id, context.dropped_parameters = reply.request_id, reply.changes
    context.usage, context.delivered_tokens = reply.answer.usage, reply.answer.estimated_tokens
    context.settle(is_last=True)
    return Response(reply.answer.body, mimetype=JSON)


def _stream(body: Body, relay: Relay) -> Response:
    """Respond when the answer begins, or after one ping interval. An earlier failure gets its own status."""
    context, service = request_context.current(), services()
    call = request_context.open_call()
    upstream, context.dropped_parameters = service.upstream.open_stream(body, call, retry=False)
    context.at_end(upstream.close)
    context.openai_id = upstream.request_id
    interval = service.settings.stream_ping_interval
    pieces = _counted(pass_through.pieces(upstream, relay, interval), relay, context, service.metrics)
    opening = pass_through.take_opening(pieces, relay, interval)
    service.metrics.streams_in_flight.inc()
    context.at_end(service.metrics.streams_in_flight.dec)
    pieces = itertools.chain((opening,), filter(None, pieces))
    return stream_response.stream(pieces, stream_response.error_event, stream_response.EVENT_STREAM)


def _counted(
    pieces: Iterator[bytes], relay: Relay, context: request_context.RequestContext, metrics: Metrics
) -> Iterator[bytes]:
    """Yield the pieces. The call counts once a part of the answer itself is among them."""
    is_counted = False
    try:
        for piece in pieces:
            if relay.begun and not is_counted:
                is_counted = True
                context.settle()
                metrics.first_token_sent(context.model or "", context.seconds)
            if relay.transcript.done:  # an SDK sends its next call once it has read [DONE]
                _note_usage(context, relay)
                context.finish()
            yield piece
    finally:
        _note_usage(context, relay)


def _note_usage(context: request_context.RequestContext, relay: Relay) -> None:
    context.usage, context.delivered_tokens = relay.transcript.usage, relay.transcript.delivered_tokens
