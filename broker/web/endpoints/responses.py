"""`POST /v1/responses`: OpenAI's Responses API, for its SDKs. OpenAI's bytes are passed on unchanged.

Every id in the answer is recorded as the caller's before the client can see it, and every id in a request must be one
of the caller's. Any other id gets OpenAI's own answer for an unknown one, and OpenAI is not asked: 404 for an item, and
400 with the code `previous_response_not_found` for `previous_response_id`, as OpenAI answers and SDKs expect.
"""

from flask import Blueprint

from broker.errors.responses import ItemNotFound, PreviousResponseNotFound
from broker.openai import response_objects
from broker.openai.prepared_call import PreparedCall
from broker.openai.requests.policy import Body
from broker.openai.requests.responses_api import responses
from broker.openai.streaming.responses_relay import ResponsesRelay
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("responses", __name__)
blueprint.before_request(guards.counted)


def _read() -> PreparedCall:
    context, service = request_context.current(), services()
    asked = responses.read(context.take_body(), service.response_rules)
    key = _check_owner(asked)
    body = service.policy.apply_to_response(asked.body, request_context.caller().id)
    return PreparedCall(asked.model, body, cap_name="max_output_tokens", is_stream=asked.is_stream, key_fingerprint=key)


@blueprint.post("/v1/responses")
@guards.reads(_read)
def create() -> Response:
    """Answer a Responses request, whole or as a stream of events."""
    prepared = request_context.prepared()
    with services().responses.keys.pinned(prepared.key_fingerprint):
        body = prepared.take_request()
        return _stream(body) if prepared.is_stream else _whole(body)


def _check_owner(asked: responses.ResponseRequest) -> str | None:
    """Return the fingerprint of the key that the ids in the request were made with.

    Raises unless the caller owns every id.
    """
    ids = [*asked.references] if asked.previous_id is None else [asked.previous_id, *asked.references]
    found = services().owners.look_up(request_context.caller().id, ids)
    if found.unknown is None:
        return found.fingerprint
    raise PreviousResponseNotFound(found.unknown) if found.unknown == asked.previous_id else ItemNotFound(found.unknown)


def _whole(body: Body) -> Response:
    context, service = request_context.current(), services()
    reply = service.responses.create(body, request_context.open_call())
    content, context.openai_id, context.dropped_parameters = reply
    response, key = response_objects.read(content), service.responses.keys.fingerprint
    service.owners.remember(request_context.caller().id, key, response.id, response.item_ids)
    context.usage, context.delivered_tokens = response.usage, response.estimated_tokens
    context.settle(is_last=True)
    return Response(response.body, mimetype=JSON)


def _stream(body: Body) -> Response:
    service, relay = services(), ResponsesRelay()
    upstream, changes = service.responses.open_stream(body, request_context.open_call())
    request_context.current().dropped_parameters = changes
    user_id, key = request_context.caller().id, service.responses.keys.fingerprint

    def remember_ids() -> None:
        if ids := relay.take_ids():
            service.owners.remember(user_id, key, *ids)

    return stream_response.pass_on(upstream, relay, remember_ids)
