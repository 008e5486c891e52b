"""The shapes of the Responses API: response objects, output items and events."""

import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


def events(response: Json) -> list[bytes]:
    """A response as OpenAI streams it: https://platform.openai.com/docs/api-reference/responses-streaming."""
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    item = response["output"][0]
    blank: Json = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    named: list[tuple[str, Json]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    named += [("response.output_item.added", {"output_index": 0, "item": {**item, **blank, "status": "in_progress"}})]
    named += _call_events(item) if item["type"] == "function_call" else _text_events(item)
    named += [("response.output_item.done", {"output_index": 0, "item": item})]
    named += [(f"response.{response['status']}", {"response": response})]
    return [_event(name, data, number) for number, (name, data) in enumerate(named)]


def _call_events(item: Json) -> Iterable[tuple[str, Json]]:
    name = "response.function_call_arguments"
    place: Json = {"item_id": item["id"], "output_index": 0}
    return [
        (f"{name}.delta", {**place, "delta": item["arguments"]}),
        (f"{name}.done", {**place, "arguments": item["arguments"]}),
    ]


def _text_events(item: Json) -> Iterable[tuple[str, Json]]:
    place: Json = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = item["content"][0]
    words = [word for word in part["text"].replace(" ", "\0 ").split("\0") if word]
    return [
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**place, "delta": word, "logprobs": []}) for word in words),
        ("response.output_text.done", {**place, "text": part["text"], "logprobs": []}),
        ("response.content_part.done", {**place, "part": part}),
    ]


def _event(name: str, data: Json, number: int) -> bytes:
    content = json.dumps({"type": name, "sequence_number": number, **data}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {content}\n\n".encode()


def new_response(body: Json) -> Json:
    """A completed response to `body`, without output."""
    echoed = ("instructions", "max_output_tokens", "metadata", "previous_response_id", "reasoning", "safety_identifier",
              "temperature", "top_p", "truncation")  # fmt: skip
    response = {
        "id": new_id("resp"), "object": "response", "created_at": int(time.time()), "status": "completed",
        "background": False, "error": None, "incomplete_details": None, "model": body["model"], "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True), "store": body.get("store", True),
        "text": body.get("text") or {"format": {"type": "text"}}, "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [], "usage": usage_of(30),
    }  # fmt: skip
    return response | {name: body.get(name) for name in echoed}


def usage_of(output_tokens: int) -> Json:
    """The usage of a response."""
    return {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12 + output_tokens}  # fmt: skip


def message(text: str) -> Json:
    """An output item with a text."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"id": new_id("msg"), "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def function_call(call: Json) -> Json:
    """An output item for a tool call as a chat message carries it."""
    function = call["function"]
    return {"id": new_id("fc"), "type": "function_call", "status": "completed", "arguments": function["arguments"],
            "call_id": new_id("call"), "name": function["name"]}  # fmt: skip


def new_id(prefix: str) -> str:
    """An id in OpenAI's form."""
    return f"{prefix}_{secrets.token_hex(25)}"
