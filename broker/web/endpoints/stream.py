"""`POST /stream`: streams the answer as JSON objects, one per line."""

import itertools
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii

from flask import Blueprint

from broker.errors import last_lines
from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.openai.prepared_call import PreparedCall
from broker.openai.requests import prompts
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.sse import BLANK_LINE, EventReader, Interrupted, Transcript
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("stream", __name__)
blueprint.before_request(guards.counted)


def _read() -> PreparedCall:
    prompt = prompts.read_stream(request_context.current().take_body())
    return PreparedCall(prompt.model, services().policy.apply(prompt.request()), is_stream=True)


@blueprint.post("/stream")
@guards.reads(_read)
def stream() -> Response:
    """`{"messages": …, "model": …, "temperature"?: 0..1}` → `{"data": "<text>"}` lines.

    Responds after the first text: a failure before it gets its own status.
    """
    context, service = request_context.current(), services()
    prepared = request_context.prepared()
    body = prepared.take_request()
    upstream, context.dropped_parameters = service.upstream.open_stream(body, request_context.open_call())
    context.at_end(upstream.close)
    context.openai_id = upstream.request_id
    texts = _texts(upstream, context)
    first = next(texts, "")
    context.settle()
    service.metrics.first_token_sent(prepared.model, context.seconds)
    service.metrics.streams_in_flight.inc()
    context.at_end(service.metrics.streams_in_flight.dec)
    lines = map(_line, itertools.chain((first,) if first else (), texts))
    return stream_response.stream(lines, last_lines.stream_line, JSON)


def _texts(upstream: Stream, context: request_context.RequestContext) -> Iterator[str]:
    """Yield the text of each read, to the end of the body. Raises as `Stream.reads`, and `StreamBroken`."""
    transcript, reader = Transcript(), EventReader()
    try:
        for data in itertools.chain(upstream.reads(), (BLANK_LINE,)):
            if text := transcript.read(reader.feed(data)):
                yield text
            if transcript.done:  # read to the body's end: only then the connection is reused
                upstream.expect_end()
    except Interrupted as interrupted:
        if interrupted.text:
            yield interrupted.text
        raise interrupted.fault from None
    except (OpenAITimeout, StreamBroken):
        if not transcript.finished:
            raise
    finally:
        context.usage, context.delivered_tokens = transcript.usage, transcript.delivered_tokens
    transcript.check_complete()


def _line(text: str) -> bytes:
    return b'{"data": %s}\n' % encode_basestring_ascii(text).encode()
