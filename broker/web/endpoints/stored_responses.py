"""`/v1/responses/{id}`: a user's own stored responses. Nothing here counts as a call.

An id that is not the caller's gets OpenAI's own 404, and OpenAI is not asked. An unknown id, another user's id and a
deleted one are alike.
"""

from contextlib import AbstractContextManager

from flask import Blueprint, request

from broker.errors.base import ParameterRefused
from broker.errors.responses import ItemNotFound, ResponseNotFound
from broker.openai import response_objects
from broker.web import guards, request_context
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("stored_responses", __name__)
blueprint.before_request(guards.signed_in)

# the parameters that are passed on; `stream` replays background responses, which the broker refuses
RETRIEVE = frozenset({"include", "include[]"})
LIST = RETRIEVE | {"after", "limit", "order"}


@blueprint.get("/v1/responses/<response_id>")
def retrieve(response_id: str) -> Response:
    """Return a stored response of the caller's. Raises `ResponseNotFound`."""
    with _key_of(response_id):
        body = services().responses.stored("GET", response_id, _query(RETRIEVE), request_context.open_call())
    return Response(response_objects.without_account(body), mimetype=JSON)


@blueprint.delete("/v1/responses/<response_id>")
def delete(response_id: str) -> Response:
    """Delete a stored response of the caller's, and forget its ids. Raises `ResponseNotFound`."""
    with _key_of(response_id):
        body = services().responses.stored("DELETE", response_id, [], request_context.open_call())
    services().owners.forget(request_context.caller().id, response_id)
    return Response(body, mimetype=JSON)


@blueprint.get("/v1/responses/<response_id>/input_items")
def list_input_items(response_id: str) -> Response:
    """Return the input of a stored response of the caller's. Raises `ResponseNotFound`."""
    path, service, user_id = f"{response_id}/input_items", services(), request_context.caller().id
    with _key_of(response_id):
        if unknown := service.owners.look_up(user_id, request.args.getlist("after")).unknown:
            raise ItemNotFound(unknown)
        body = service.responses.stored("GET", path, _query(LIST), request_context.open_call())
    key = service.responses.keys.fingerprint
    service.owners.remember_input(user_id, key, response_id, response_objects.listed_ids(body))
    return Response(body, mimetype=JSON)


def _key_of(response_id: str) -> AbstractContextManager[None]:
    """Return a context in which OpenAI is asked with the response's own key. Raises unless the caller owns it."""
    service = services()
    found = service.owners.look_up(request_context.caller().id, [response_id])
    if found.unknown is not None:
        raise ResponseNotFound(response_id)
    return service.responses.keys.pinned(found.fingerprint)


def _query(allowed: frozenset[str]) -> list[tuple[str, str]]:
    """Return the query parameters. Raises a `ParameterRefused` for one that is not passed on."""
    pairs = list(request.args.items(multi=True))
    for name, value in pairs:
        if name not in allowed and (name, value) != ("stream", "false"):
            raise ParameterRefused(name[:64], "is not a parameter that this broker passes on", "unsupported_parameter")
    return [(name, value) for name, value in pairs if name in allowed]
