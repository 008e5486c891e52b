"""The paths of the OpenAPI document: each endpoint, what it takes, and all that it may answer. Pure."""

from broker.web.openapi.answers import Answers, Content, error, errors, good
from broker.web.openapi.schemas import OBJECT, TEXT, Schema, all_of, array_of, object_of, reference

Path = dict[str, object]

JSON = "application/json"
PLAIN: Content = {"text/plain": {"schema": TEXT}}
MESSAGE: Content = {JSON: {"schema": all_of(message=TEXT)}}
WIRE_MODELS = ["gpt-4o", "gpt-4o-mini"]


def all_paths() -> dict[str, Path]:
    """Each operation by its path and method."""
    return _completions() | _stream() | _openais() | _accounts() | _operations()


def _completions() -> dict[str, Path]:
    conversation = object_of(["messages"], messages=reference("Messages"), temperature=reference("Temperature"))
    either: Schema = {
        "anyOf": [array_of(reference("Message"), minItems=1), object_of(["messages"], messages=reference("Messages"))]
    }
    prompt: Schema = {"name": "prompt", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1}}
    trimmed = good("The completion, white space trimmed at both ends", PLAIN)
    message = good("The completion", MESSAGE)
    return {
        "/simple-gpt-4o-mini-complete": {
            "get": {
                "summary": "The answer to one prompt, which is sent as a `system` message",
                "parameters": [prompt],
                "responses": {"200": trimmed} | errors("Error", has_body=False),
            }
        },
        "/advanced-gpt-4o-mini-complete": _post("The answer to a conversation", either, trimmed),
        "/v2/advanced-gpt-4o-mini-complete": _post("The answer to a conversation", conversation, message),
        "/gpt-4o": _post("The answer to a conversation", conversation, message),
    }


def _stream() -> dict[str, Path]:
    conversation = object_of(
        ["messages", "model"],
        messages=reference("Messages"),
        model={"enum": WIRE_MODELS},
        temperature=reference("Temperature"),
    )
    lines = good(
        'One JSON object a line, as the answer arrives: `{"data": "<text>"}`; an answer that breaks off ends with the '
        'line `{"error": "Error while streaming"}`',
        {JSON: {}},
    )
    return {"/stream": _post("The answer to a conversation, as it arrives", conversation, lines)}


def _openais() -> dict[str, Path]:
    completion = good(
        "OpenAI's answer; with `stream`, its server-sent events, with comments where OpenAI is silent. An answer that "
        "breaks off ends with an event that holds an `OpenAIError`, and without `[DONE]`",
        {JSON: {"schema": reference("ChatCompletion")}, "text/event-stream": {"schema": all_of(data=TEXT)}},
    )
    unknown = {"404": error("OpenAIError", 404)}
    create = _post("A chat completion", reference("ChatRequest"), completion, form="OpenAIError", others=unknown)
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    models = all_of(object={"const": "list"}, data=array_of(reference("Model")))
    return {
        "/v1/chat/completions": create,
        "/v1/models": _get("The models that a request may name", good("All of them", {JSON: {"schema": models}})),
        "/v1/models/{name}": _get("One model", good("It", {JSON: {"schema": reference("Model")}}), unknown)
        | {"parameters": [name]},
    }


def _accounts() -> dict[str, Path]:
    day = good("Today, in UTC; it does not count as a call", {JSON: {"schema": reference("Usage")}})
    return {"/v1/usage": _get("The calls that the user has made today, and has left", day)}


def _operations() -> dict[str, Path]:
    alive = good("It is alive", PLAIN, signed_in=False)
    can = good("It can serve", {JSON: {"schema": reference("Readiness")}}, signed_in=False)
    cannot = {**can, "description": "It cannot"}
    numbers = good("Prometheus text", PLAIN, signed_in=False)
    elsewhere = {**error("Error", 403, signed_in=False), "description": "The client is in no listed network"}
    document = good("This document", {JSON: {"schema": OBJECT}}, signed_in=False)
    return {
        "/health": _open("Is the process alive?", {"200": alive}),
        "/ready": _open("Can it serve, and if not, which part cannot?", {"200": can, "503": cannot}),
        "/metrics": _open("For Prometheus; never for the public", {"200": numbers, "403": elsewhere}),
        "/openapi.json": _open("What there is", {"200": document}),
    }


def _post(summary: str, body: Schema, answer: Content, *, form: str = "Error", others: Answers | None = None) -> Path:
    content = {"required": True, "content": {JSON: {"schema": body}}}
    responses = {"200": answer} | errors(form, has_body=True) | (others or {})
    return {"post": {"summary": summary, "requestBody": content, "responses": responses}}


def _get(summary: str, answer: Content, others: Answers | None = None) -> Path:
    responses = {"200": answer} | errors("OpenAIError", has_body=False, is_counted=False) | (others or {})
    return {"get": {"summary": summary, "responses": responses}}


def _open(summary: str, responses: Answers) -> Path:
    """Of an operation for which no token is needed."""
    wrong_method = {"405": error("Error", 405, signed_in=False)}
    return {"get": {"summary": summary, "security": [], "responses": responses | wrong_method}}
