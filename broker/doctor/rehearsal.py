"""Asks OpenAI once per model name and API, with every parameter that the older endpoints and common SDKs send.

Shows before a change of MODELS which parameters a model refuses. A refused request is free; an accepted one has a short
prompt and a short answer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broker.active_calls import OpenCalls
from broker.doctor.findings import Finding
from broker.errors.base import Fault
from broker.errors.openai import RefusedByOpenAI
from broker.openai.client import Upstream
from broker.openai.counting.token_usage import TokenUsage
from broker.openai.requests.policy import Body, RequestPolicy
from broker.settings.settings import Settings

MOST_TOKENS = 256  # of an answer, reasoning included
MOST_TRIES = 12  # of one call: OpenAI names one refused parameter at a time
USER = "rehearsal"
_TOOL = {"name": "noop", "parameters": {"type": "object", "properties": {}}}
_SAMPLING = {"temperature": 0.7, "top_p": 0.9}
_CHAT: Body = {
    **_SAMPLING,
    "messages": [{"role": "user", "content": "Say hi."}],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": {"50256": -1},
    "stop": ["\n\n\n"],
    "seed": 1,
    "n": 1,
    "response_format": {"type": "text"},
    "tools": [{"type": "function", "function": _TOOL}],
    "tool_choice": "none",
    "parallel_tool_calls": True,
    "prompt_cache_key": USER,
    "max_completion_tokens": MOST_TOKENS,
}


@dataclass(frozen=True)
class _Outcome:
    dropped: tuple[str, ...]
    usage: Mapping[str, object]


@dataclass(frozen=True)
class _Api:
    """`request`: without its model. `prepare` applies the policy. `ask` sends the body."""

    name: str
    request: Body
    prepare: Callable[[Body], Body]
    ask: Callable[[Body], _Outcome]


def rehearse(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each name in MODELS and each API, and one for the tokens that all of them took."""
    upstream, spent = Upstream(settings, lambda _: None), 0
    try:
        for name in settings.models:
            for api in _apis(settings, upstream):
                finding, tokens = _rehearse(name, str(settings.models[name]["model"]), api)
                spent += tokens
                yield finding
    finally:
        upstream.close()
    yield Finding(f"the rehearsal took {spent} tokens")


def _apis(settings: Settings, upstream: Upstream) -> list[_Api]:
    policy = RequestPolicy(
        patches=settings.models,
        max_completion_tokens=MOST_TOKENS,
        max_messages=settings.max_messages,
        max_prompt_characters=settings.max_prompt_characters,
        secret=settings.supabase_service_key,
    )
    calls = OpenCalls(settings.openai_call_timeout)

    def ask_chat(body: Body) -> _Outcome:
        call = calls.begin(None)
        try:
            reply = upstream.ask(body, call, retry=False)
        finally:
            call.close()
        return _Outcome(reply.changes, reply.answer.usage)

    return [_Api("chat completions", _CHAT, lambda body: policy.apply_for_user(body, USER), ask_chat)]


def _rehearse(name: str, model: str, api: _Api) -> tuple[Finding, int]:
    """Ask until OpenAI answers, without what it refused; return the finding and the tokens."""
    subject = name if name == model else f"{name} as {model}"
    subject = f"{subject}, {api.name}"
    body, refused = api.prepare({**api.request, "model": name}), []
    for _ in range(MOST_TRIES):
        try:
            outcome = api.ask(body)
        except RefusedByOpenAI as refusal:
            param = _param_of(refusal)
            if param not in body or param == "model":
                return Finding(subject, f"OpenAI refuses the request: {refusal.sentence}"), 0
            refused.append(param)
            body = {name: value for name, value in body.items() if name != param}
        except Fault as fault:
            return Finding(subject, f"it cannot be asked ({fault.code}): {fault.sentence}"), 0
        else:
            usage = TokenUsage.read(outcome.usage)
            return _finding(subject, outcome.dropped, refused), usage.total if usage else 0
    return Finding(subject, f"OpenAI refuses more than {MOST_TRIES} parameters: {', '.join(refused)}"), 0


def _finding(subject: str, dropped: tuple[str, ...], refused: list[str]) -> Finding:
    left_out = f" (left out: {', '.join(dropped)})" if dropped else ""
    if not refused:
        return Finding(subject + left_out)
    nulls = ", ".join(f'"{param}": null' for param in refused)
    todo = f"it refuses {', '.join(refused)}: clients that send that get a 400, unless MODELS takes it out ({nulls})"
    return Finding(subject + left_out, todo)


def _param_of(refusal: RefusedByOpenAI) -> str:
    error: Any = refusal.details.get("openai")
    return str(error.get("param") or "") if isinstance(error, dict) else ""
