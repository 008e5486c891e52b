"""The schemas of the OpenAPI document: request and response bodies. Pure."""

from collections.abc import Collection

from broker.openai.requests.chat_completions import ALLOWED_VALUES, IGNORED, STREAM_OPTIONS
from broker.openai.requests.content_parts import PARTS
from broker.openai.requests.responses_api import responses
from broker.openai.requests.responses_api.response_items import ITEMS
from broker.openai.requests.responses_api.response_tools import CLIENT_TOOLS

Schema = dict[str, object]

TEXT: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}


def all_schemas(models: Collection[str], most_tokens: int) -> dict[str, Schema]:
    """Every schema by name."""
    return {
        "Error": _error(),
        "OpenAIError": _openai_error(),
        "Message": _message(),
        "Messages": _messages(),
        "Temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.7},
        "ChatRequest": _chat_request(models, most_tokens),
        "ChatCompletion": _chat_completion(),
        "ResponseRequest": _response_request(models, most_tokens),
        "Response": _response(),
        "Model": _model(),
        "Usage": _usage(),
        "Readiness": _readiness(),
    }


def object_of(required: Collection[str] = (), **properties: object) -> Schema:
    """An object with these properties; `required` names the mandatory ones."""
    return {"type": "object", "required": list(required), "properties": properties}


def all_of(**properties: object) -> Schema:
    """An object in which all of these properties are required."""
    return object_of(properties, **properties)


def array_of(items: Schema, **limits: object) -> Schema:
    """An array of `items`."""
    return {"type": "array", "items": items, **limits}


def reference(name: str) -> Schema:
    """A reference to one of `all_schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _error() -> Schema:
    """The error format of the endpoints outside /v1."""
    return all_of(error={"type": "string", "minLength": 1}, message={"type": "null"}, code={"type": "string"})


def _openai_error() -> Schema:
    error = all_of(message={"type": "string", "minLength": 1}, type=TEXT, param=TEXT_OR_NULL, code=TEXT_OR_NULL)
    return all_of(error=error)


def _message() -> Schema:
    """A message on the endpoints outside /v1. Extra fields pass through; OpenAI checks their values."""
    return object_of(
        ["role", "content"],
        role={"description": "`user`, `assistant`, `system`, …"},
        content={"anyOf": [{"type": ["string", "number", "boolean", "null"]}, _message_parts()]},
    )


def _messages() -> Schema:
    text = {"type": "string", "minLength": 1, "description": "one `user` message, or a JSON array of messages"}
    return {"anyOf": [array_of(reference("Message"), minItems=1), text]}


def _chat_request(models: Collection[str], most_tokens: int) -> Schema:
    """The parameters of https://platform.openai.com/docs/api-reference/chat/create that pass; null means absent."""
    bound = {"type": ["integer", "null"], "minimum": 1, "maximum": most_tokens}
    one_message = object_of(["role"], role=TEXT, content={"anyOf": [TEXT, {"type": "null"}, _message_parts()]})
    properties: dict[str, object] = {
        "messages": array_of(one_message, minItems=1),
        "model": {"enum": list(models)},
        "stream": {"type": ["boolean", "null"], "default": False},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {name: {"type": ["boolean", "null"]} for name in STREAM_OPTIONS},
            "additionalProperties": False,
        },
        "max_completion_tokens": bound | {"default": most_tokens},
        "max_tokens": bound | {"deprecated": True, "description": "the old name of `max_completion_tokens`"},
        **{name: {"enum": [*values, None]} for name, values in ALLOWED_VALUES.items()},
        **{name: {"type": ["number", "null"], "minimum": least, "maximum": most} for name, least, most in (
            ("temperature", 0, 2), ("top_p", 0, 1), ("frequency_penalty", -2, 2), ("presence_penalty", -2, 2))},
        **{name: {"type": [kind, "null"]} for name, kind in (
            ("logprobs", "boolean"), ("parallel_tool_calls", "boolean"), ("seed", "integer"), ("logit_bias", "object"),
            ("response_format", "object"), ("reasoning_effort", "string"), ("verbosity", "string"))},
        **{name: {"type": ["array", "null"], "items": OBJECT} for name in ("tools", "functions")},
        **{name: {"type": ["string", "object", "null"]} for name in ("tool_choice", "function_call")},
        "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
        "stop": {"anyOf": [TEXT_OR_NULL, array_of(TEXT, maxItems=4)]},
        "prediction": {"type": ["object", "null"]},
        "prompt_cache_key": TEXT_OR_NULL,
        **{name: {"description": "accepted, and not passed on"} for name in sorted(IGNORED)},
    }  # fmt: skip
    return object_of(["messages", "model"], **properties) | {"additionalProperties": False}


def _message_parts() -> Schema:
    inline = object_of(["file_data"], file_data=TEXT, filename={}) | {"additionalProperties": False}
    file = object_of(["type", "file"], type={"const": "file"}, file=inline)
    return array_of({"anyOf": [object_of(["type"], type={"enum": [kind for kind in PARTS if kind != "file"]}), file]})


def _chat_completion() -> Schema:
    message = object_of(["role"], role=TEXT, content=TEXT_OR_NULL, refusal=TEXT_OR_NULL)
    choice = object_of(["index", "message"], index=COUNT, message=message, finish_reason=TEXT_OR_NULL)
    return all_of(id=TEXT, object={"const": "chat.completion"}, created=COUNT, model=TEXT, choices=array_of(choice))


def _response_request(models: Collection[str], most_tokens: int) -> Schema:
    """Parameters of https://platform.openai.com/docs/api-reference/responses/create that pass; null means absent."""
    tool = object_of(["type", "name"], type={"enum": sorted(CLIENT_TOOLS)}, name={"type": "string", "minLength": 1})
    properties: dict[str, object] = {
        "model": {"enum": list(models)},
        "input": {"anyOf": [TEXT, array_of(object_of(["type"], type={"enum": sorted(ITEMS)}, id=TEXT_OR_NULL))]},
        "stream_options": object_of(include_obfuscation={"type": ["boolean", "null"]})
        | {"type": ["object", "null"], "additionalProperties": False},
        "max_output_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": most_tokens},
        "background": {"enum": [False, None]},
        "service_tier": {"enum": [*responses.SERVICE_TIERS, None]},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
        "tools": {"type": ["array", "null"], "items": tool},
        "tool_choice": {"type": ["string", "object", "null"]},
        "include": {"type": ["array", "null"], "items": TEXT},
        **{name: {"type": [kind, "null"]} for name, kind in (
            ("instructions", "string"), ("max_tool_calls", "integer"), ("metadata", "object"),
            ("parallel_tool_calls", "boolean"), ("previous_response_id", "string"), ("prompt_cache_key", "string"),
            ("reasoning", "object"), ("store", "boolean"), ("stream", "boolean"),
            ("text", "object"), ("truncation", "string"))},
        **{name: {"description": "replaced by the broker's own"} for name in sorted(responses.IGNORED)},
    }  # fmt: skip
    return object_of(["model", "input"], **properties) | {"additionalProperties": False}


def _response() -> Schema:
    return object_of(["id", "object", "output"], id=TEXT, object={"const": "response"}, output=array_of(OBJECT),
                     status=TEXT, usage={"type": ["object", "null"]})  # fmt: skip


def _model() -> Schema:
    model = all_of(id=TEXT, object={"const": "model"}, created=COUNT, owned_by=TEXT, endpoints=array_of(TEXT))
    return model | {"description": "`shutdown_date`, if known: the day on which OpenAI shuts the model down"}


def _usage() -> Schema:
    when = {"type": "string", "format": "date-time"}
    calls, tokens, dollars = _level("integer"), _level("integer"), _level("number")
    return all_of(object={"const": "usage"}, limit=COUNT, used=COUNT, remaining=COUNT, resets_at=when,
                  exempt={"type": "boolean"}, plan=TEXT, calls=calls, tokens=tokens, dollars=dollars)  # fmt: skip


def _level(kind: str) -> Schema:
    """One limit of the day; null if there is none."""
    amount: Schema = {"type": kind, "minimum": 0}
    optional: Schema = {"type": [kind, "null"], "minimum": 0}
    return all_of(limit=optional, used=amount, reserved=amount, remaining=optional)


def _readiness() -> Schema:
    dollars = {"type": "object", "additionalProperties": {"type": "number"}}
    parts = {"type": "object", "additionalProperties": TEXT}
    return object_of(("ready", "parts"), ready={"type": "boolean"}, parts=parts, tenant_budget=dollars)
