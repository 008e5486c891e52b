"""`POST /v1/responses`: OpenAI's Responses API, for its SDKs. OpenAI's bytes are passed on unchanged.

Every id in the answer is recorded as the caller's before the client can see it, and every id in a request must be one
of the caller's. Any other id gets OpenAI's own answer for an unknown one, and OpenAI is not asked: 404 for an item, and
400 with the code `previous_response_not_found` for `previous_response_id`, as OpenAI answers and SDKs expect.

OpenAI bills the stored part of a request as input. Its tokens are therefore recorded with the ids, and count for the
request: those that were charged for the answer, by its usage or as an estimate.
"""

from flask import Blueprint

from broker.errors.responses import ItemNotFound, PreviousResponseNotFound
from broker.openai import response_objects
from broker.openai.prepared_call import Charge, PreparedCall
from broker.openai.requests.policy import Body
from broker.openai.requests.responses_api import responses
from broker.openai.streaming.responses_relay import ResponsesRelay
from broker.quota.response_owners import Found
from broker.web import guards, request_context, stream_response
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("responses", __name__)
blueprint.before_request(guards.counted)


def _read() -> PreparedCall:
    context, service = request_context.current(), services()
    asked = responses.read(context.take_body(), service.response_rules)
    stored = _check_owner(asked)
    body = service.policy.apply_to_response(asked.body, request_context.caller().id)
    return PreparedCall(
        asked.model,
        body,
        cap_name="max_output_tokens",
        is_stream=asked.is_stream,
        key_fingerprint=stored.fingerprint,
        stored_tokens=stored.tokens,
    )


@blueprint.post("/v1/responses")
@guards.reads(_read)
def create() -> Response:
    """Answer a Responses request, whole or as a stream of events."""
    prepared = request_context.prepared()
    with services().responses.keys.pinned(prepared.key_fingerprint):
        body = prepared.take_request()
        return _stream(body) if prepared.is_stream else _whole(prepared, body)


def _check_owner(asked: responses.ResponseRequest) -> Found:
    """Return the result of looking up the ids in the request. Raises unless the caller owns every one."""
    ids = [*asked.references] if asked.previous_id is None else [asked.previous_id, *asked.references]
    found = services().owners.look_up(request_context.caller().id, ids)
    if found.unknown is None:
        return found
    raise PreviousResponseNotFound(found.unknown) if found.unknown == asked.previous_id else ItemNotFound(found.unknown)


def _whole(prepared: PreparedCall, body: Body) -> Response:
    context, service = request_context.current(), services()
    reply = service.responses.create(body, request_context.open_call())
    content, context.openai_id, context.dropped_parameters = reply
    response, key = response_objects.read(content), service.responses.keys.fingerprint
    context.usage, context.delivered_tokens = response.usage, response.estimated_tokens
    tokens = prepared.charge(response.usage, response.estimated_tokens).sides
    service.owners.remember(request_context.caller().id, key, response.id, response.item_ids, tokens)
    context.settle(is_last=True)
    return Response(response.body, mimetype=JSON)


def _stream(body: Body) -> Response:
    context, service, relay = request_context.current(), services(), ResponsesRelay()
    upstream, context.dropped_parameters = service.responses.open_stream(body, request_context.open_call())
    user_id, key = request_context.caller().id, service.responses.keys.fingerprint

    def remember_ids() -> None:
        if ids := relay.take_ids():
            service.owners.remember(user_id, key, *ids)

    def remember_tokens(charge: Charge) -> None:
        if relay.response_id:
            service.owners.remember(user_id, key, relay.response_id, tokens=charge.sides)

    context.before_charge = remember_tokens
    return stream_response.pass_on(upstream, relay, remember_ids)
