"""Simulates a model's use of tools and schemas by fixed rules, so that a client's whole loop can run.

On the words `use your tools` it calls each tool in a turn of its own and then answers with their results. For a
required JSON schema or tool it returns a matching value.
"""

import json
from typing import Any

from deploy.local.behaviours import STREAM
from deploy.local.exchange import Exchange
from deploy.local.shapes import completion, stream

USE_TOOLS = "use your tools"
CALLS = 2  # tool calls before the answer, each in a turn of its own
JsonObject = dict[str, Any]


async def answer(exchange: Exchange, body: JsonObject) -> bool:
    """Answer a chat completion that asks for tools or a schema; False if it asks for neither."""
    call = next_call(body)
    text = None if call else next_text(body)
    if call is None and text is None:
        return False
    if not body.get("stream"):
        exchange.reply(200, _whole(str(body.get("model")), text, call))
        return True
    exchange.start(200, STREAM)
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    for event in _events(str(body.get("model")), text, call, with_usage=wants_usage):
        exchange.chunk(event)
    exchange.finish()
    return True


def next_call(body: JsonObject) -> JsonObject | None:
    """The tool call of this turn, as a message carries it; None if the turn is an answer."""
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    done = len(_results(body))
    is_required = body.get("tool_choice") == "required" or isinstance(body.get("tool_choice"), dict)
    if not tools or not (is_required or (USE_TOOLS in question(body) and done < CALLS)):
        return None
    tool = tools[done % len(tools)]
    arguments = json.dumps(sample(tool.get("parameters") or {}))
    return {
        "id": f"call_{done + 1:024d}",
        "type": "function",
        "function": {"name": tool["name"], "arguments": arguments},
    }


def next_text(body: JsonObject) -> str | None:
    """The text of this turn if a schema or tools determine it."""
    return _structured(body) or _from_tools(body)


def sample(schema: JsonObject, root: JsonObject | None = None) -> Any:
    """A value that matches this JSON schema. Covers the schemas that SDKs generate."""
    root = root or schema
    if "$ref" in schema:
        return sample(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if choices := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return choices[0]
    if options := schema.get("anyOf"):
        return sample(options[0], root)
    if schema.get("type") == "object":
        return {name: sample(one, root) for name, one in (schema.get("properties") or {}).items()}
    if schema.get("type") == "array":
        return [sample(schema.get("items") or {}, root)]
    return {"string": "Brest", "integer": 4, "number": 4.5, "boolean": True}.get(str(schema.get("type")))


def question(body: JsonObject) -> str:
    """The text of the last user message, in lower case."""
    messages = [message for message in body.get("messages") or () if _role(message) == "user"]
    return _text(messages[-1]).lower() if messages else ""


def last_text(body: JsonObject) -> str:
    """The text of the last message or input item, of either API."""
    sent = body.get("messages") or body.get("input") or ""
    return _text(sent[-1] if isinstance(sent, list) else sent)


def _text(message: object) -> str:
    content = message.get("content") if isinstance(message, dict) else message
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _results(body: JsonObject) -> list[str]:
    """The tools' results since the last question."""
    results: list[str] = []
    for message in body.get("messages") or ():
        if _role(message) == "user":
            results = []
        elif _role(message) == "tool":
            results.append(str(message.get("content")))
    return results


def _role(message: object) -> object:
    return message.get("role") if isinstance(message, dict) else None


def _structured(body: JsonObject) -> str | None:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    return json.dumps(sample((wanted.get("json_schema") or {}).get("schema") or {}))


def _from_tools(body: JsonObject) -> str | None:
    return " ".join(["The tools say:", *_results(body)]) if USE_TOOLS in question(body) and _results(body) else None


def _whole(model: str, text: str | None, call: JsonObject | None) -> JsonObject:
    reply: Any = completion(model, text or "")
    if call:
        reply["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        reply["choices"][0]["finish_reason"] = "tool_calls"
    result: JsonObject = reply
    return result


def _events(model: str, text: str | None, call: JsonObject | None, *, with_usage: bool) -> list[bytes]:
    words = [word for word in (text or "").replace(" ", "\0 ").split("\0") if word]
    events = [*stream(model, words, with_usage=with_usage), b"data: [DONE]\n\n"]
    if call is None:
        return events
    first, last, *rest = events  # a call stands where the text would
    arguments = call["function"]["arguments"]
    begun = {"index": 0, **call, "function": {**call["function"], "arguments": ""}}
    deltas = [{"role": "assistant", "content": None, "tool_calls": [begun]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in _halves(arguments)]
    return [*(_with_delta(first, delta) for delta in deltas), last.replace(b'"stop"', b'"tool_calls"'), *rest]


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _with_delta(event: bytes, delta: object) -> bytes:
    chunk = json.loads(event.removeprefix(b"data: "))
    chunk["choices"][0]["delta"] = delta
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
