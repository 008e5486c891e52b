"""A stand-in for OpenAI's Responses API that stores, returns and deletes responses and resolves references to them.

https://platform.openai.com/docs/api-reference/responses. Its turns follow the rules of `model_turns`.
"""

from typing import Any

from deploy.local import model_turns
from deploy.local.checks import wrong_response_parameter
from deploy.local.generations import GENERATIONS
from deploy.local.response_shapes import function_call, message, new_id, new_response, usage_of
from deploy.local.shapes import MODELS, cut_to_bound, error

Json = dict[str, Any]
Refusal = tuple[int, Json]
INVALID = "invalid_request_error"
PARAMETERS = frozenset(
    {
        "background", "include", "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model",
        "parallel_tool_calls", "previous_response_id", "prompt_cache_key", "reasoning", "safety_identifier",
        "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools",
        "top_logprobs", "top_p", "truncation", "user",
    }
)  # fmt: skip


class StoredResponses:
    """All responses of one account. As at OpenAI, the account's users are not distinguished."""

    def __init__(self) -> None:
        self._responses: dict[str, Json] = {}
        self._inputs: dict[str, list[Json]] = {}
        self._items: dict[str, Json] = {}  # stored output items, by id

    def refusal(self, body: Json) -> Refusal | None:
        """The refusal of a request that OpenAI would not accept."""
        if unknown := [name for name in body if name not in PARAMETERS]:
            return _refused(400, f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
        if wrong := wrong_response_parameter(body) or _wrong_tool(body):
            return _refused(400, f"Invalid type for '{wrong}'.", wrong, "invalid_type")
        model = body.get("model")
        if model not in MODELS:
            return _refused(404, f"The model '{model}' does not exist.", "model", "model_not_found")
        if refused := GENERATIONS[str(model)].response_refusal(body):
            return _refused(400, *refused)
        return self._wrong_reference(body)

    def _wrong_reference(self, body: Json) -> Refusal | None:
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self._responses:
            reason = f"Previous response with id '{previous}' not found."
            return _refused(400, reason, "previous_response_id", "previous_response_not_found")
        for item in _items(body.get("input")):
            if _is_reference(item) and item["id"] not in self._items:
                return _refused(404, f"Item with id '{item['id']}' not found.", "input", None)
        calls = {item.get("call_id") for item in self._context(body) if item.get("type") == "function_call"}
        for item in _items(body.get("input")):
            if item.get("type") == "function_call_output" and item.get("call_id") not in calls:
                reason = f"No tool call found for function call output with call_id {item.get('call_id')}."
                return _refused(400, reason, "input", None)
        return None

    def _context(self, body: Json) -> list[Json]:
        """Every input item of the model: of earlier responses, by reference, and from the request."""
        previous = self._responses.get(body.get("previous_response_id") or "")
        earlier: list[Json] = []
        if previous:
            chain = {"previous_response_id": previous["previous_response_id"], "input": self._inputs[previous["id"]]}
            earlier = [*self._context(chain), *previous["output"]]
        sent = _items(body.get("input"))
        return [*earlier, *(self._items[item["id"]] if _is_reference(item) else item for item in sent)]

    def answer(self, body: Json, text: str) -> Json:
        """The response to an accepted request."""
        response, chat = new_response(body), self._as_chat(body)
        call = model_turns.next_call(chat)
        whole = model_turns.next_text(chat) or text
        cut = cut_to_bound(whole, body.get("max_output_tokens"))
        response["output"] = [function_call(call) if call else message(cut)]
        if not call and cut != whole:
            response |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
            response["usage"] = usage_of(body["max_output_tokens"])
        if response["store"]:
            self._store(response, _items(body.get("input")))
        return response

    def _as_chat(self, body: Json) -> Json:
        """The request as a chat completion, for the rules of `model_turns`."""
        outputs = ("function_call_output", "custom_tool_call_output")
        messages = [
            {"role": "tool", "content": item.get("output")}
            if item.get("type") in outputs
            else {"role": item.get("role"), "content": item.get("content")}
            for item in self._context(body)
        ]
        tools = [
            {"type": "function", "function": tool} for tool in body.get("tools") or [] if tool["type"] == "function"
        ]
        chat: Json = {"messages": messages, "tools": tools, "tool_choice": body.get("tool_choice")}
        wanted = (body.get("text") or {}).get("format") or {}
        if wanted.get("type") == "json_schema":
            chat["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return chat

    def _store(self, response: Json, sent: list[Json]) -> None:
        self._responses[response["id"]] = response
        self._inputs[response["id"]] = [{"id": new_id("msg"), **item} for item in sent]
        self._items |= {item["id"]: item for item in response["output"]}

    def find(self, method: str, path: str) -> tuple[int, Json]:
        """The answer to GET or DELETE of `path`, below `/responses/`."""
        response_id, _, rest = path.partition("/")
        response = self._responses.get(response_id)
        if response is None or rest not in ("", "input_items"):
            return _refused(404, f"Response with id '{response_id}' not found.", None, None)
        if rest:
            data = self._inputs[response_id]
            ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
            return 200, {"object": "list", "data": data, **ends, "has_more": False}
        if method == "DELETE":
            del self._responses[response_id]
            for item in response["output"]:
                del self._items[item["id"]]
            return 200, {"id": response_id, "object": "response.deleted", "deleted": True}
        return 200, response


def _wrong_tool(body: Json) -> str | None:
    named = [tool for tool in body.get("tools") or [] if tool.get("type") in ("function", "custom")]
    names = [tool.get("name") for tool in named]
    return None if all(isinstance(name, str) and name for name in names) else "tools[0].name"


def _items(sent: Any) -> list[Json]:
    if isinstance(sent, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": sent}]}]
    return list(sent or [])


def _is_reference(item: Json) -> bool:
    return item.get("type", "item_reference") == "item_reference" and "id" in item and "role" not in item


def _refused(status: int, message: str, param: str | None, code: str | None) -> Refusal:
    return status, error(message, INVALID, param=param, code=code)
