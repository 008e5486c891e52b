"""`POST /v1/responses`: OpenAI's Responses API, for its SDKs. OpenAI's bytes are passed on unchanged.

Every id in the answer is recorded as the caller's before the client can see it, and every id in a request must be one
of the caller's. Any other id gets OpenAI's own answer for an unknown one, and OpenAI is not asked: 404 for an item, and
400 with the code `previous_response_not_found` for `previous_response_id`, as OpenAI answers and SDKs expect.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

from flask import Blueprint, Response

from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.errors.responses import ItemNotFound, PreviousResponseNotFound
from broker.openai import response_objects
from broker.openai.prepared_call import PreparedCall
from broker.openai.requests.policy import Body
from broker.openai.requests.responses_api import responses
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.event_splitter import PING
from broker.openai.streaming.responses_relay import ResponsesRelay
from broker.telemetry.metrics import Metrics
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.services import services

blueprint = Blueprint("responses", __name__)
blueprint.before_request(guards.counted)


def _read() -> PreparedCall:
    context, service = request_context.current(), services()
    asked = responses.read(context.take_body(), service.response_rules)
    _check_owner(asked)
    body = service.policy.apply_to_response(asked.body, request_context.caller().id)
    return PreparedCall(asked.model, body, cap_name="max_output_tokens", is_stream=asked.is_stream)


@blueprint.post("/v1/responses")
@guards.reads(_read)
def create() -> Response:
    """Answer a Responses request, whole or as a stream of events."""
    prepared = request_context.prepared()
    body = prepared.take_request()
    return _stream(body) if prepared.is_stream else _whole(body)


def _check_owner(asked: responses.ResponseRequest) -> None:
    """Raise unless the caller owns every id in the request."""
    ids = [*asked.references] if asked.previous_id is None else [asked.previous_id, *asked.references]
    unknown = services().owners.first_unknown(request_context.caller().id, ids)
    if unknown is None:
        return
    raise PreviousResponseNotFound(unknown) if unknown == asked.previous_id else ItemNotFound(unknown)


def _whole(body: Body) -> Response:
    context, service = request_context.current(), services()
    reply = service.responses.create(body, request_context.open_call())
    content, context.openai_id, context.dropped_parameters = reply
    response = response_objects.read(content)
    service.owners.remember(request_context.caller().id, response.id, response.item_ids)
    context.usage, context.delivered_tokens = response.usage, response.estimated_tokens
    context.settle(is_last=True)
    return Response(response.body, mimetype=JSON)


def _stream(body: Body) -> Response:
    """Respond when the answer begins or OpenAI has been silent for long. An earlier failure gets its own status."""
    context, service = request_context.current(), services()
    upstream, context.dropped_parameters = service.responses.open_stream(body, request_context.open_call())
    context.at_end(upstream.close)
    context.openai_id = upstream.request_id
    relay = ResponsesRelay()
    pieces = _pieces(upstream, relay, service.settings.stream_ping_interval)
    remember = functools.partial(service.owners.remember, request_context.caller().id)
    pieces = _counted(pieces, relay, context, remember, service.metrics)
    opening = _opening(pieces, relay)
    service.metrics.streams_in_flight.inc()
    context.at_end(service.metrics.streams_in_flight.dec)
    pieces = itertools.chain((opening,), pieces)
    return stream_response.stream(pieces, relay.last_event, stream_response.EVENT_STREAM)


def _pieces(upstream: Stream, relay: ResponsesRelay, patience: float) -> Iterator[bytes]:
    """Yield the client's part of each read, to the body's end. Raises as `Stream.reads`, and the relay's fault."""
    try:
        for data in upstream.reads(patience):
            yield relay.feed(data) if data else relay.silence()
            if relay.fault:
                raise relay.fault
            if relay.is_over:  # read to the body's end: only then the connection is reused
                upstream.expect_end()
    except (OpenAITimeout, StreamBroken):
        if relay.fault or not relay.is_over:
            raise
    yield relay.finish()
    if relay.fault:
        raise relay.fault


def _counted(
    pieces: Iterator[bytes],
    relay: ResponsesRelay,
    context: request_context.RequestContext,
    remember: Callable[[str, list[str]], None],
    metrics: Metrics,
) -> Iterator[bytes]:
    """Yield the non-empty pieces, after recording their ids. The call counts once the answer itself has begun."""
    is_counted = False
    try:
        for piece in pieces:
            if ids := relay.take_ids():
                remember(*ids)
            if relay.begun and not is_counted:
                is_counted = True
                context.settle()
                metrics.first_token_sent(context.model or "", context.seconds)
            if relay.is_over:  # an SDK sends its next call once it has read the last event
                _note_usage(context, relay)
                context.finish()
            if piece:
                yield piece
    finally:
        _note_usage(context, relay)


def _note_usage(context: request_context.RequestContext, relay: ResponsesRelay) -> None:
    context.usage, context.delivered_tokens = relay.usage, relay.delivered_tokens


def _opening(pieces: Iterator[bytes], relay: ResponsesRelay) -> bytes:
    """Return everything up to the beginning of the answer, or to OpenAI's first long silence."""
    opening = b""
    for piece in pieces:
        opening += piece
        if relay.begun or piece == PING:
            break
    return opening
