"""The requests of the rehearsal: what a client of each API might send, prepared as its endpoint prepares it.

Each has every parameter that the older endpoints and common SDKs send to a model of the old names. SDKs send `include`,
`reasoning` and `verbosity` only to models whose names they know to reason. Nothing is stored.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from broker.active_calls import OpenCall
from broker.errors.openai import RefusedByOpenAI
from broker.openai.client import Body, Upstream
from broker.openai.prepared_call import PreparedCall
from broker.openai.requests import chat_completions
from broker.openai.requests.policy import RequestPolicy
from broker.openai.requests.responses_api import responses
from broker.openai.responses_client import ResponsesClient
from broker.openai.streaming import pass_through
from broker.openai.streaming.body_stream import Stream
from broker.openai.streaming.chat_relay import Relay as ChatRelay
from broker.openai.streaming.pass_through import Relay
from broker.openai.streaming.responses_relay import ResponsesRelay
from broker.settings.settings import Settings

MOST_TOKENS = 16  # of an answer, reasoning included; the Responses API accepts no lower bound
USER = "rehearsal"
# A model that reasons may need more tokens than it is given. OpenAI then sends this sentence with status 400, after it
# has accepted every parameter.
_CUT_SHORT = "Could not finish the message because max_tokens"
_FUNCTION = {"name": "noop", "parameters": {"type": "object", "properties": {}}}
_SHARED: Body = {
    "temperature": 0.7,
    "top_p": 0.9,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "metadata": {},
    "prompt_cache_key": USER,
    "user": USER,
    "store": False,
    "stream": True,
}
CHAT: Body = {
    **_SHARED,
    "messages": [{"role": "user", "content": "Say hi."}],
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": {"50256": -1},
    "stop": ["\n\n\n"],
    "seed": 1,
    "n": 1,
    "response_format": {"type": "text"},
    "tools": [{"type": "function", "function": _FUNCTION}],
    "stream_options": {"include_usage": True},
    "max_tokens": MOST_TOKENS,
}
RESPONSE: Body = {
    **_SHARED,
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "Say hi."}]}],
    "instructions": "Be brief.",
    "text": {"format": {"type": "text"}},
    "tools": [{"type": "function", **_FUNCTION, "strict": False}],
    "truncation": "disabled",
    "max_output_tokens": MOST_TOKENS,
}


@dataclass(frozen=True)
class Outcome:
    """The parameters that were left out, and OpenAI's usage object; {} if OpenAI sent none."""

    changes: tuple[str, ...]
    usage: Body


@dataclass(frozen=True)
class Api:
    """`prepare` returns the request for a model by the clients' name. `ask` sends a body and reads the answer."""

    name: str
    prepare: Callable[[str], PreparedCall]
    ask: Callable[[Body, OpenCall], Outcome]


def apis(settings: Settings, upstream: Upstream) -> Iterator[Api]:
    """Yield the two APIs."""
    policy = RequestPolicy(
        patches=settings.models,
        max_completion_tokens=MOST_TOKENS,
        max_messages=settings.max_messages,
        max_prompt_characters=settings.max_prompt_characters,
        secret=settings.supabase_service_key,
    )
    rules = responses.Rules(settings.models, MOST_TOKENS, is_store_allowed=True, hosted_tools=frozenset())
    responses_client = ResponsesClient(upstream, settings.openai_silence_timeout)

    def prepare_chat(model: str) -> PreparedCall:
        asked = chat_completions.read(json.dumps({**CHAT, "model": model}).encode(), settings.models, MOST_TOKENS)
        return PreparedCall(model, policy.apply_for_user(asked.body, USER))

    def prepare_response(model: str) -> PreparedCall:
        asked = responses.read(json.dumps({**RESPONSE, "model": model}).encode(), rules)
        return PreparedCall(model, policy.apply_to_response(asked.body, USER), cap_name="max_output_tokens")

    def ask_chat(body: Body, call: OpenCall) -> Outcome:
        try:
            return _read(*upstream.open_stream(body, call, retry=False), ChatRelay(with_usage=True))
        except RefusedByOpenAI as refusal:
            if not refusal.sentence.startswith(_CUT_SHORT):
                raise
            return Outcome(upstream.refused.known(body), {})

    def ask_response(body: Body, call: OpenCall) -> Outcome:
        return _read(*responses_client.open_stream(body, call), ResponsesRelay())

    yield Api("chat completions", prepare_chat, ask_chat)
    yield Api("Responses", prepare_response, ask_response)


def _read(stream: Stream, changes: tuple[str, ...], relay: Relay) -> Outcome:
    try:
        for _ in pass_through.pieces(stream, relay, interval=60.0):
            pass
    finally:
        stream.close()
    return Outcome(changes, relay.usage)
