"""The endpoints that answer in one piece."""

import json

from flask import Blueprint, Response, request

from broker.openai.requests import prompts
from broker.web import guards, request_context
from broker.web.error_handlers import JSON
from broker.web.services import services

blueprint = Blueprint("completions", __name__)
blueprint.before_request(guards.counted)


@blueprint.get("/simple-gpt-4o-mini-complete")
def simple() -> Response:
    """`?prompt=…` → the completion as trimmed text."""
    return _text(_complete(prompts.read_query(request.args.get("prompt"), "gpt-4o-mini")))


@blueprint.post("/advanced-gpt-4o-mini-complete")
def advanced() -> Response:
    """`{"messages": […]}` or the bare array → the completion as trimmed text."""
    return _text(_complete(prompts.read_messages(request_context.current().take_body(), "gpt-4o-mini")))


@blueprint.post("/v2/advanced-gpt-4o-mini-complete")
def advanced_v2() -> Response:
    """`{"messages": …, "temperature"?: 0..1}` → `{"message": "<completion>"}`."""
    return _json(_complete(prompts.read_conversation(request_context.current().take_body(), "gpt-4o-mini")))


@blueprint.post("/gpt-4o")
def gpt_4o() -> Response:
    """`{"messages": …, "temperature"?: 0..1}` → `{"message": "<completion>"}`."""
    return _json(_complete(prompts.read_conversation(request_context.current().take_body(), "gpt-4o")))


def _complete(prompt: prompts.Prompt) -> str:
    """Return OpenAI's whole answer and count the call. Raises as `Upstream.ask`."""
    context, service = request_context.current(), services()
    context.model = prompt.model
    body = service.policy.apply(prompt.request())
    reply = service.upstream.ask(body, request_context.open_call())
    context.openai_id, context.dropped_parameters = reply.request_id, reply.changes
    context.usage = reply.answer.usage
    context.settle()
    return reply.answer.text


def _text(completion: str) -> Response:
    return Response(completion.strip().encode("utf-8", "replace"), mimetype="text/plain")


def _json(completion: str) -> Response:
    return Response(json.dumps({"message": completion.strip()}) + "\n", mimetype=JSON)
