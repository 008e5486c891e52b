"""The older endpoints that return a whole completion."""

import json

from flask import Blueprint, request

from broker.openai.prepared_call import PreparedCall
from broker.openai.requests import prompts
from broker.web import guards, request_context
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("completions", __name__)
blueprint.before_request(guards.counted)


@blueprint.get("/simple-gpt-4o-mini-complete")
@guards.reads(lambda: _prepared(prompts.read_query(request.args.get("prompt"), "gpt-4o-mini")))
def simple() -> Response:
    """`?prompt=…` → the completion as trimmed text."""
    return _text(_complete())


@blueprint.post("/advanced-gpt-4o-mini-complete")
@guards.reads(lambda: _prepared(prompts.read_messages(request_context.current().take_body(), "gpt-4o-mini")))
def advanced() -> Response:
    """`{"messages": […]}` or the bare array → the completion as trimmed text."""
    return _text(_complete())


@blueprint.post("/v2/advanced-gpt-4o-mini-complete")
@guards.reads(lambda: _prepared(prompts.read_conversation(request_context.current().take_body(), "gpt-4o-mini")))
def advanced_v2() -> Response:
    """`{"messages": …, "temperature"?: 0..1}` → `{"message": "<completion>"}`."""
    return _json(_complete())


@blueprint.post("/gpt-4o")
@guards.reads(lambda: _prepared(prompts.read_conversation(request_context.current().take_body(), "gpt-4o")))
def gpt_4o() -> Response:
    """`{"messages": …, "temperature"?: 0..1}` → `{"message": "<completion>"}`."""
    return _json(_complete())


def _prepared(prompt: prompts.Prompt) -> PreparedCall:
    return PreparedCall(prompt.model, services().policy.apply(prompt.request()))


def _complete() -> str:
    """Return OpenAI's whole answer and count the call. Raises as `Upstream.ask`."""
    context, body = request_context.current(), request_context.prepared().take_request()
    reply = services().upstream.ask(body, request_context.open_call())
    context.openai_id, context.dropped_parameters = reply.request_id, reply.changes
    context.usage, context.delivered_tokens = reply.answer.usage, reply.answer.estimated_tokens
    context.settle(is_last=True)
    return reply.answer.text


def _text(completion: str) -> Response:
    return Response(completion.strip().encode("utf-8", "replace"), mimetype="text/plain")


def _json(completion: str) -> Response:
    return Response(json.dumps({"message": completion.strip()}) + "\n", mimetype=JSON)
