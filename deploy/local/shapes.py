"""OpenAI's response bodies: https://platform.openai.com/docs/api-reference/chat."""

import json
import time
from typing import Any

from deploy.local.checks import wrong_parameter
from deploy.local.generations import GENERATIONS

SHUTDOWN = "2027-01-14"
MODELS = {name: SHUTDOWN if name.startswith("gpt-4o") else None for name in GENERATIONS}


def error(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, object]:
    """An error object: https://platform.openai.com/docs/guides/error-codes."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def bad_key(authorization: str) -> dict[str, object]:
    """OpenAI's error for a wrong key. Like OpenAI, it repeats the key's ends, or a short key in full."""
    given = authorization.removeprefix("Bearer ")
    shown = given if len(given) <= 12 else f"{given[:8]}********{given[-4:]}"
    return error(f"Incorrect API key provided: {shown}.", "invalid_request_error", code="invalid_api_key")


def refusal(body: dict[str, Any]) -> tuple[int, object] | None:
    """Status and body of the refusal of an invalid request; None if the request is valid."""
    model, kind = body.get("model"), "invalid_request_error"
    if model not in MODELS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        return 404, error(message, kind, code="model_not_found")
    if refused := GENERATIONS[str(model)].refusal(body):
        message, param, code = refused
        return 400, error(message, kind, param=param or None, code=code)
    if wrong := wrong_parameter(body):
        return 400, error(f"Invalid value for '{wrong}'.", kind, param=wrong, code="invalid_value")
    return None


def model(name: str) -> dict[str, object]:
    """An entry of the model list."""
    known = {"id": name, "object": "model", "created": 1715367049, "owned_by": "system"}
    return known | ({"shutdown_date": MODELS[name]} if MODELS[name] else {})


def _usage(words: int) -> dict[str, object]:
    return {"prompt_tokens": 12, "completion_tokens": words, "total_tokens": 12 + words,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}}  # fmt: skip


def cut_to_bound(text: str, most_tokens: int | None) -> str:
    """The text of an answer of at most so many tokens, a word each."""
    return text if most_tokens is None else " ".join(text.split(" ")[:most_tokens])


def completion(model: str, text: str, reason: str = "stop") -> dict[str, object]:
    """A whole completion, which ended for this reason."""
    message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {"id": "chatcmpl-stand-in", "object": "chat.completion", "created": int(time.time()), "model": model,
            "choices": [choice], "usage": _usage(len(text.split())), "service_tier": "default"}  # fmt: skip


def stream(model: str, words: list[str], *, with_usage: bool, reason: str = "stop") -> list[bytes]:
    """A completion as server-sent events, one per word, without the final `[DONE]`."""
    base: dict[str, object] = {"id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "model": model}
    base |= {"created": int(time.time()), "service_tier": "default"}
    no_usage: dict[str, object] = {"usage": None} if with_usage else {}

    def event(choices: list[object], **more: object) -> bytes:
        chunk = {**base, "choices": choices, **no_usage, **more, "obfuscation": "x7Kq"}
        return b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"

    def choice(delta: dict[str, object], reason: str | None = None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    events = [event(choice({"role": "assistant", "content": "", "refusal": None}))]
    events += [event(choice({"content": word})) for word in words]
    events.append(event(choice({}, reason)))
    return events + ([event([], usage=_usage(len(words)))] if with_usage else [])


def whole_and_pieces(body: dict[str, Any], text: str) -> tuple[object, list[bytes]]:
    """The answer to a request in one piece, and as server-sent events with the final `[DONE]`."""
    model, wants_usage = str(body.get("model")), bool((body.get("stream_options") or {}).get("include_usage"))
    cut = cut_to_bound(text, body.get("max_completion_tokens") or body.get("max_tokens"))
    reason = "stop" if cut == text else "length"
    words = [word for word in cut.replace(" ", "\0 ").split("\0") if word]
    pieces = stream(model, words, with_usage=wants_usage, reason=reason)
    return completion(model, cut, reason), [*pieces, b"data: [DONE]\n\n"]
