"""The paths of the OpenAPI document: each endpoint with its request and its responses. Pure."""

from broker.web.openapi.answers import Answers, Content, error, errors, success
from broker.web.openapi.schemas import OBJECT, TEXT, Schema, all_of, array_of, object_of, reference

Path = dict[str, object]

JSON = "application/json"
PLAIN: Content = {"text/plain": {"schema": TEXT}}
MESSAGE: Content = {JSON: {"schema": all_of(message=TEXT)}}
WIRE_MODELS = ["gpt-4o", "gpt-4o-mini"]


def all_paths() -> dict[str, Path]:
    """Every operation by path and method."""
    return _completions() | _stream() | _openais() | _accounts() | _operations()


def _completions() -> dict[str, Path]:
    conversation = object_of(["messages"], messages=reference("Messages"), temperature=reference("Temperature"))
    either: Schema = {
        "anyOf": [array_of(reference("Message"), minItems=1), object_of(["messages"], messages=reference("Messages"))]
    }
    prompt: Schema = {"name": "prompt", "in": "query", "required": True, "schema": {"type": "string", "minLength": 1}}
    trimmed = success("The completion, trimmed at both ends", PLAIN)
    message = success("The completion", MESSAGE)
    return {
        "/simple-gpt-4o-mini-complete": {
            "get": {
                "summary": "Answer one prompt, sent as a `system` message",
                "parameters": [prompt],
                "responses": {"200": trimmed} | errors("Error", has_body=False),
            }
        },
        "/advanced-gpt-4o-mini-complete": _post("Answer a conversation", either, trimmed),
        "/v2/advanced-gpt-4o-mini-complete": _post("Answer a conversation", conversation, message),
        "/gpt-4o": _post("Answer a conversation", conversation, message),
    }


def _stream() -> dict[str, Path]:
    conversation = object_of(
        ["messages", "model"],
        messages=reference("Messages"),
        model={"enum": WIRE_MODELS},
        temperature=reference("Temperature"),
    )
    lines = success(
        'One JSON object a line, as the answer arrives: `{"data": "<text>"}`. An incomplete answer ends with the line '
        '`{"error": "Error while streaming"}`',
        {JSON: {}},
    )
    return {"/stream": _post("Answer a conversation as a stream", conversation, lines)}


def _openais() -> dict[str, Path]:
    completion = success(
        "OpenAI's answer; with `stream`, its server-sent events, with comments while OpenAI is silent. An incomplete "
        "answer ends with an event that holds an `OpenAIError`, without `[DONE]`",
        {JSON: {"schema": reference("ChatCompletion")}, "text/event-stream": {"schema": all_of(data=TEXT)}},
    )
    unknown = {"404": error("OpenAIError", 404)}
    create = _post("Create a chat completion", reference("ChatRequest"), completion, form="OpenAIError", others=unknown)
    return {"/v1/chat/completions": create} | _responses() | _models(unknown)


def _responses() -> dict[str, Path]:
    """https://platform.openai.com/docs/api-reference/responses."""
    unknown = {"404": error("OpenAIError", 404)}
    response: Content = {JSON: {"schema": reference("Response")}}
    answer = success(
        "OpenAI's response; with `stream`, its server-sent events, with comments while OpenAI is silent. An incomplete "
        "answer ends with an `error` event",
        {**response, "text/event-stream": {"schema": all_of(data=TEXT)}},
    )
    create = _post("Create a response", reference("ResponseRequest"), answer, form="OpenAIError", others=unknown)
    stored = _get("Get a stored response of the user's", success("The response", response), unknown)
    deleted = success("Deleted at OpenAI, and its ids forgotten", {JSON: {"schema": OBJECT}})
    delete = {"delete": _get("Delete a stored response of the user's", deleted, unknown)["get"]}
    items = success("The items", {JSON: {"schema": all_of(object={"const": "list"}, data=array_of(OBJECT))}})
    place = {"parameters": [{"name": "response_id", "in": "path", "required": True, "schema": TEXT}]}
    return {
        "/v1/responses": create,
        "/v1/responses/{response_id}": stored | delete | place,
        "/v1/responses/{response_id}/input_items": _get("List the input of a stored response", items, unknown) | place,
    }


def _models(unknown: Answers) -> dict[str, Path]:
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    models = all_of(object={"const": "list"}, data=array_of(reference("Model")))
    return {
        "/v1/models": _get("List the models", success("All models", {JSON: {"schema": models}})),
        "/v1/models/{name}": _get("Get a model", success("The model", {JSON: {"schema": reference("Model")}}), unknown)
        | {"parameters": [name]},
    }


def _accounts() -> dict[str, Path]:
    day = success("The current UTC day", {JSON: {"schema": reference("Usage")}})
    return {"/v1/usage": _get("Get the user's calls, tokens and dollars of the day; does not count as a call", day)}


def _operations() -> dict[str, Path]:
    alive = success("The process is alive", PLAIN, signed_in=False)
    ready = success("It can serve", {JSON: {"schema": reference("Readiness")}}, signed_in=False)
    not_ready = {**ready, "description": "It cannot serve"}
    text = success("Prometheus text", PLAIN, signed_in=False)
    forbidden = {**error("Error", 403, signed_in=False), "description": "The client is not in a listed network"}
    document = success("This document", {JSON: {"schema": OBJECT}}, signed_in=False)
    return {
        "/health": _open("Check that the process is alive", {"200": alive}),
        "/ready": _open(
            "Check that the broker can serve, and name the part that cannot", {"200": ready, "503": not_ready}
        ),
        "/metrics": _open("Metrics for Prometheus; not public", {"200": text, "403": forbidden}),
        "/openapi.json": _open("Get this document", {"200": document}),
    }


def _post(summary: str, body: Schema, answer: Content, *, form: str = "Error", others: Answers | None = None) -> Path:
    content = {"required": True, "content": {JSON: {"schema": body}}}
    responses = {"200": answer} | errors(form, has_body=True) | (others or {})
    return {"post": {"summary": summary, "requestBody": content, "responses": responses}}


def _get(summary: str, answer: Content, others: Answers | None = None) -> Path:
    responses = {"200": answer} | errors("OpenAIError", has_body=False, is_counted=False) | (others or {})
    return {"get": {"summary": summary, "responses": responses}}


def _open(summary: str, responses: Answers) -> Path:
    """An operation that needs no token."""
    wrong_method = {"405": error("Error", 405, signed_in=False)}
    return {"get": {"summary": summary, "security": [], "responses": responses | wrong_method}}
