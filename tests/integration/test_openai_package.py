"""OpenAI's official package for Python, pointed at the broker with a Supabase access token for its key."""

import time
from collections.abc import Callable, Iterator

import openai as sdk
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

NewUser = Callable[[BrokerProcess], User]
ClientOf = Callable[[User], OpenAI]
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
TIDE: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_tide", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def package() -> Iterator[OpenAI]:
    """One client for all tests, as each new one loads the machine's certificates. It retries twice by default."""
    with OpenAI(base_url="http://127.0.0.1:1/v1", api_key="none") as made:
        yield made


@pytest.fixture
def client_of(package: OpenAI) -> ClientOf:
    """Return a user's client."""
    return lambda user: package.with_options(base_url=user.url + "/v1", api_key=user.token)


@pytest.fixture
def client(ada: User, client_of: ClientOf) -> OpenAI:
    """The client of Ada."""
    return client_of(ada)


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_it_lists_the_models(client: OpenAI) -> None:
    """The names are the keys of MODELS, each of which can be retrieved."""
    assert [model.id for model in client.models.list()] == ["gpt-4o", "gpt-4o-mini"]
    assert client.models.retrieve("gpt-4o").object == "model"
    with pytest.raises(sdk.NotFoundError) as caught:
        client.models.retrieve("gpt-3")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("is_stream", [False, True])
def test_flex_that_is_served_as_usual_is_charged_as_usual(ada: User, openai: OpenAIStandIn, *, is_stream: bool) -> None:
    """OpenAI bills the tier that its answer names; the stand-in has no flex."""
    body = {"model": "gpt-4o", "messages": HELLO, "stream": is_stream}
    answer = ada.post("/v1/chat/completions", {**body, "service_tier": "flex"})
    assert (answer.status_code, openai.completions()[-1].body["service_tier"]) == (200, "flex")
    within(2, lambda: ada.get("/v1/usage").json()["tokens"]["used"])
    used = ada.get("/v1/usage").json()
    usual = 12 * 2_500 + (used["tokens"]["used"] - 12) * 10_000
    assert round(used["dollars"]["used"] * 10**9) == usual


def test_it_gets_an_answer(client: OpenAI, broker: BrokerProcess, ada: User) -> None:
    """The answer has its usage, its model, and a request id that is in the log."""
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    assert answer.choices[0].message.content == ANSWER
    assert (answer.model, answer.choices[0].finish_reason) == ("gpt-4o-mini", "stop")
    assert answer.usage
    assert answer.usage.prompt_tokens == 12
    within(
        1, lambda: answer._request_id in {line["request_id"] for line in broker.log_lines() if line["user"] == ada.id}
    )


def test_it_streams(client: OpenAI) -> None:
    """The text arrives. No chunk lacks a choice unless the usage was requested."""
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    assert text_of(chunks) == ANSWER
    assert all(chunk.choices for chunk in chunks)
    assert not any(chunk.usage for chunk in chunks)


def test_it_streams_with_usage(client: OpenAI) -> None:
    """`stream_options.include_usage` adds a last chunk."""
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert text_of(chunks) == ANSWER
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.prompt_tokens == 12


def test_it_ignores_comments(
    start_broker: StartBroker, new_user: NewUser, client_of: ClientOf, openai: OpenAIStandIn
) -> None:
    """They are sent while OpenAI is silent."""
    openai.next("pause", events=3, seconds=0.5)
    client = client_of(new_user(start_broker(STREAM_PING_INTERVAL="0.1")))
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    assert text_of(chunks) == ANSWER


def test_it_stops_midway(client: OpenAI, openai: OpenAIStandIn) -> None:
    """The request to OpenAI is closed within a second."""
    openai.token_delay = 0.1
    stream = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    assert within(1, lambda: openai.completions()[0].end == "peer left") < 1


def test_it_calls_tools(client: OpenAI, openai: OpenAIStandIn) -> None:
    """Streamed and whole answers work, and the tools reach OpenAI unchanged."""
    openai.next("answer_tool_call")
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[TIDE], tool_choice="auto")
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert openai.completions()[0].body["tools"] == [TIDE]
    openai.next("stream_parallel_tools")
    with client.chat.completions.stream(model="gpt-4o", messages=HELLO, tools=[TIDE]) as stream:
        final = stream.get_final_completion()
    assert len(final.choices[0].message.tool_calls or []) > 1


def test_formats_and_images_reach_openai(client: OpenAI, openai: OpenAIStandIn) -> None:
    """They are passed on unchanged."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        ]}
    ]  # fmt: skip
    client.chat.completions.create(
        model="gpt-4o", messages=messages, response_format={"type": "json_object"}, max_completion_tokens=9, top_p=0.5
    )
    body = openai.completions()[0].body
    assert len(body.pop("safety_identifier")) == 64
    assert body == {
        "model": "gpt-4o",
        "messages": messages,
        "response_format": {"type": "json_object"},
        "max_completion_tokens": 9,
        "top_p": 0.5,
    }


def test_a_stale_token_is_an_authentication_error(ada: User, client_of: ClientOf) -> None:
    """The code says whether to refresh the session."""
    ada.token += "x"
    with pytest.raises(sdk.AuthenticationError) as caught:
        client_of(ada).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (caught.value.code, caught.value.type) == ("invalid_token", "invalid_request_error")
    assert "Invalid or expired token" in caught.value.message


def test_a_base_url_without_v1_is_explained(ada: User, client_of: ClientOf) -> None:
    """The exception explains this common mistake."""
    for base_url in (ada.url, ada.url + "/v1/v1"):
        with pytest.raises(sdk.NotFoundError, match="must end in /v1"):
            client_of(ada).with_options(base_url=base_url).chat.completions.create(model="gpt-4o", messages=HELLO)
    doubled = client_of(ada).with_options(base_url=ada.url + "//v1/")
    assert doubled.chat.completions.create(model="gpt-4o", messages=HELLO).choices
    with pytest.raises(sdk.NotFoundError, match="/v1/embeddings is not offered here; there are /v1/chat/completions"):
        client_of(ada).embeddings.create(model="gpt-4o", input="x")


def test_names_of_the_user_are_replaced(client: OpenAI, openai: OpenAIStandIn) -> None:
    """OpenAI gets the broker's pseudonym."""
    client.chat.completions.create(
        model="gpt-4o", messages=HELLO, user="ada", safety_identifier="ada", metadata={}, prompt_cache_key="tides"
    )
    body = openai.completions()[0].body
    assert len(body.pop("safety_identifier")) == 64
    assert body == {
        "model": "gpt-4o", "messages": HELLO, "prompt_cache_key": "tides", "max_completion_tokens": 16_384
    }  # fmt: skip


def test_over_the_daily_limit_it_asks_once(start_broker: StartBroker, new_user: NewUser, client_of: ClientOf) -> None:
    """A RateLimitError is raised at once, without retries or a wait until tomorrow."""
    broker = start_broker(DAILY_LIMIT="1")
    user = new_user(broker)
    client = client_of(user)
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    for is_stream in (False, True):
        started = time.monotonic()
        with pytest.raises(sdk.RateLimitError) as caught:
            client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=is_stream)
        assert time.monotonic() - started < 2
    error = caught.value
    assert (error.code, error.type, error.status_code) == ("daily_limit_exceeded", "rate_limit_error", 429)
    assert isinstance(error.body, dict)
    assert (error.body["limit"], error.body["resets_at"][-15:]) == (1, "T00:00:00+00:00")
    assert "The daily limit of 1 calls is used up; it resets at" in error.message
    assert int(error.response.headers.get("Retry-After", 0)) <= 3600
    broker.stop()  # all log lines are written
    assert [line["status"] for line in broker.log_lines() if line["user"] == user.id] == [200, 429, 429]


@pytest.mark.parametrize(
    ("members", "kind", "param", "code"),
    [({"n": 2}, sdk.BadRequestError, "n", "unsupported_value"),
     ({"store": True}, sdk.BadRequestError, "store", "unsupported_value"),
     ({"max_completion_tokens": 16_385}, sdk.BadRequestError, "max_completion_tokens", "invalid_value"),
     ({"model": "gpt-3"}, sdk.NotFoundError, None, "model_not_found"),
     ({"messages": []}, sdk.BadRequestError, "messages", "empty_array")],
)  # fmt: skip
def test_a_refusal_is_an_error_of_its_own_kind(
    client: OpenAI,
    openai: OpenAIStandIn,
    members: dict[str, object],
    kind: type[sdk.APIStatusError],
    param: str,
    code: str,
) -> None:
    """It names the parameter; OpenAI is not asked."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": "gpt-4o", "messages": HELLO, **members})  # type: ignore[call-overload]
    assert (caught.value.param, caught.value.code) == (param, code)
    assert openai.completions() == []


@pytest.mark.parametrize(
    ("reply", "kind", "code", "asked"),
    [("400_context_length_exceeded", sdk.BadRequestError, "context_length_exceeded", 1),
     ("401_masked_key", sdk.InternalServerError, "openai_refused", 1),
     ("429_insufficient_quota", sdk.InternalServerError, "insufficient_quota", 1),
     ("500_server_error", sdk.InternalServerError, "openai_failed", 3)],
)  # fmt: skip
@pytest.mark.parametrize("is_stream", [True, False])
def test_openais_errors_come_through(
    client: OpenAI, openai: OpenAIStandIn, reply: str, kind: type[sdk.APIStatusError], code: str, asked: int, *,
    is_stream: bool
) -> None:  # fmt: skip
    """The caller's own errors are unchanged, those of the account reworded. Only the SDK retries: three requests."""
    openai.next(reply, times=-1)
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=is_stream)
    assert caught.value.code == code
    assert len(openai.completions()) == asked
    assert "sk-" not in str(caught.value)


def test_it_waits_as_long_as_a_busy_openai_asks_for(
    start_broker: StartBroker, new_user: NewUser, client_of: ClientOf, openai: OpenAIStandIn
) -> None:
    """It waits for a short `Retry-After`; a long one is raised at once."""
    client = client_of(new_user(start_broker()))
    openai.next("rate_limited", **{"retry-after": 1})
    started = time.monotonic()
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO).choices
    assert time.monotonic() - started > 0.9
    openai.next("rate_limited", times=-1, **{"retry-after": 100})
    with pytest.raises(sdk.InternalServerError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "openai_rate_limited")
    assert (caught.value.response.headers["Retry-After"], len(openai.completions())) == ("100", 3)


def test_without_redis_it_gets_a_503(
    start_broker: StartBroker, new_user: NewUser, client_of: ClientOf, own_redis: RedisProcess
) -> None:
    """The error comes soon, after its own retries."""
    user = new_user(start_broker(REDIS_URL=own_redis.url))
    own_redis.stop()
    with pytest.raises(sdk.InternalServerError) as caught:
        client_of(user).with_options(max_retries=1).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (503, "usage_unavailable")
    assert caught.value.type == "service_unavailable_error"


@pytest.mark.parametrize("reply", ["stream_error_midway", "cut_mid_stream"])
def test_an_error_midway_is_raised(client: OpenAI, openai: OpenAIStandIn, reply: str) -> None:
    """The text before it has been delivered."""
    openai.next(reply)
    chunks: list[ChatCompletionChunk] = []
    with pytest.raises(sdk.APIError) as caught:
        chunks.extend(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    assert text_of(chunks)
    assert type(caught.value) is sdk.APIError  # of no status: that one was 200
    assert (caught.value.type, "[DONE]" in str(caught.value)) == ("server_error", False)
