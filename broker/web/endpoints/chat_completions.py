"""`POST /v1/chat/completions`: OpenAI's own format, for its SDKs. OpenAI's bytes are passed on unchanged."""

from flask import Blueprint

from broker.openai.prepared_call import PreparedCall
from broker.openai.requests import chat_completions
from broker.openai.requests.policy import Body
from broker.openai.streaming.chat_relay import Relay
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
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
    upstream, changes = services().upstream.open_stream(body, request_context.open_call(), retry=False)
    request_context.current().dropped_parameters = changes
    return stream_response.pass_on(upstream, relay)
