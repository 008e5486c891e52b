"""`/stream`: the answer as it arrives, one JSON object a line."""

import itertools
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii

from flask import Blueprint, Response

from broker.errors.base import Fault
from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.openai.requests import prompts
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.sse import BLANK_LINE, EventReader, Interrupted, Transcript
from broker.web import error_handlers, guards, request_context
from broker.web.services import services

blueprint = Blueprint("stream", __name__)
blueprint.before_request(guards.counted)


@blueprint.post("/stream")
def stream() -> Response:
    """`{"messages": …, "model": …, "temperature"?: 0..1}` → `{"data": "<text>"}` lines.

    Answers only once the first text is here: a failure before it has a status of its own.
    """
    present, parts = request_context.current(), services()
    prompt = prompts.read_stream(present.take_body())
    present.model = prompt.model
    asked = parts.terms.patched(prompt.request())
    upstream = parts.upstream.open_stream(asked, request_context.open_call())
    present.at_end(upstream.close)
    present.openai_id = upstream.request_id
    texts = _texts(upstream, present)
    first = next(texts, "")
    present.settle()
    parts.metrics.first_token_sent(prompt.model, present.seconds)
    parts.metrics.streams_in_flight.inc()
    present.at_end(parts.metrics.streams_in_flight.dec)
    lines = map(_line, itertools.chain((first,) if first else (), texts))
    return error_handlers.stream(lines, _last_line, error_handlers.JSON)


def _texts(upstream: Stream, present: request_context.Visit) -> Iterator[str]:
    """The text that each read brings, to the end of the body. Raises as `Stream.reads`, and `StreamBroken`."""
    transcript, reader = Transcript(), EventReader()
    try:
        for data in itertools.chain(upstream.reads(), (BLANK_LINE,)):
            if text := transcript.read(reader.feed(data)):
                yield text
            if transcript.done:  # read on all the same: the connection is reused only at the body's end
                upstream.expect_end()
    except Interrupted as interrupted:
        if interrupted.text:
            yield interrupted.text
        raise interrupted.fault from None
    except (OpenAITimeout, StreamBroken):
        if not transcript.finished:
            raise
    finally:
        present.usage = transcript.usage
    transcript.check_complete()


def _line(text: str) -> bytes:
    return b'{"data": %s}\n' % encode_basestring_ascii(text).encode()


def _last_line(_: Fault) -> bytes:
    return b'{"error": "Error while streaming"}\n'
