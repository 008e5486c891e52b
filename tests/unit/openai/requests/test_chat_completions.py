"""Parameters of OpenAI's format: accepted ones are passed on, others are refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors.base import BodyNotJson, CallerFault, ModelNotFound, ParameterRefused
from broker.openai.requests import chat_completions

HELLO = [{"role": "user", "content": "hello"}]
IMAGE = {"type": "image_url", "image_url": {"url": "https://pictures.example/tide.png"}}
MODELS: dict[str, dict[str, object]] = {name: {"model": "gpt-4o"} for name in ("gpt-4o", "gpt-4o-mini", "tide")}
MOST = 1000


def read(**members: Any) -> chat_completions.ChatRequest:
    body = {"model": "tide", "messages": HELLO, **members}
    return chat_completions.read(json.dumps(body).encode(), MODELS, MOST)


def refusal(**members: Any) -> tuple[int, object, str]:
    """Return status, parameter and code of the refusal."""
    with pytest.raises(ParameterRefused) as caught:
        read(**members)
    param = caught.value.details["param"]
    assert str(param) in caught.value.sentence
    return caught.value.status, param, caught.value.code


def test_a_request_is_passed_on_as_it_is() -> None:
    """Tools, formats, images and everything else that costs one answer are passed on."""
    members = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "what is this?"}, IMAGE]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "high"},
        ],
        "tools": [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "tide", "schema": {}}},
        "temperature": 1.7,
        "stop": ["\n"],
        "seed": 7,
        "n": 1,
        "store": False,
        "service_tier": "default",
        "modalities": ["text"],
    }
    asked = read(**members)
    assert asked.body == {"model": "tide", **members}
    assert (asked.model, asked.is_stream, asked.wants_usage) == ("tide", False, False)


def test_the_form_of_the_answer_is_read() -> None:
    """The request chooses stream or whole, with usage or without."""
    assert read(stream=True).is_stream
    assert not read(stream=False).is_stream
    assert read(stream=True, stream_options={"include_usage": True}).wants_usage
    assert not read(stream=True, stream_options={"include_usage": False, "include_obfuscation": False}).wants_usage


def test_null_members_are_dropped() -> None:
    """Null is dropped for refused parameters too."""
    assert read(temperature=None, user=None, n=None, max_tokens=None, stream=None).body == {
        "model": "tide",
        "messages": HELLO,
    }


@pytest.mark.parametrize(
    "name",
    ["audio", "web_search_options", "prompt_cache_retention", "prompt_cache_options", "moderation", "extra"],
)  # fmt: skip
def test_unlisted_parameters_are_refused(name: str) -> None:
    """Parameters that cost more, store data or are unknown."""
    assert refusal(**{name: "x"}) == (400, name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("n", 0), ("n", True), ("n", 1.0), ("n", "1"), ("store", True), ("store", 0),
     ("service_tier", "priority"), ("modalities", ["text", "audio"]),
     ("modalities", []), ("modalities", "text")],
)  # fmt: skip
def test_some_are_passed_on_with_one_value_only(name: str, value: object) -> None:
    """Only the value that costs one answer at the usual price and stores nothing is accepted."""
    assert refusal(**{name: value}) == (400, name, "unsupported_value")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answers_length_is_bounded(name: str) -> None:
    """The deprecated name `max_tokens` is bounded too."""
    for most in (MOST, float(MOST)):
        assert read(**{name: most}).body == {"model": "tide", "messages": HELLO, "max_completion_tokens": MOST}
    for value in (MOST + 1, 0, -1, 10**400):
        assert refusal(**{name: value}) == (400, name, "invalid_value")
    odd: object
    for odd in ("5", 1.5, True, [], {}):
        assert refusal(**{name: odd}) == (400, name, "invalid_type")


def test_of_two_bounds_the_lesser_holds() -> None:
    """Some libraries send both names."""
    for small, large in ((5, 9), (9, 5)):
        body = read(max_tokens=small, max_completion_tokens=large).body
        assert body == {"model": "tide", "messages": HELLO, "max_completion_tokens": 5}
    assert refusal(max_tokens=5, max_completion_tokens=MOST + 1)[1] == "max_completion_tokens"


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [({"messages": None}, "messages", "missing_required_parameter"), ({"messages": "hi"}, "messages", "invalid_type"),
     ({"messages": []}, "messages", "empty_array"), ({"messages": [7]}, "messages[0]", "invalid_type"),
     ({"messages": [*HELLO, {"content": "x"}]}, "messages[1]", "invalid_type"),
     ({"model": None}, "model", "missing_required_parameter"), ({"model": 4}, "model", "invalid_type"),
     ({"stream": "yes"}, "stream", "invalid_type"), ({"stream": 1}, "stream", "invalid_type"),
     ({"stream_options": []}, "stream_options", "invalid_type"),
     ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_value"),
     ({"stream_options": {"x": True}}, "stream_options.x", "invalid_value")],
)  # fmt: skip
def test_parameters_that_the_broker_reads_are_checked(members: dict[str, object], param: str, code: str) -> None:
    """The broker checks what it reads itself; OpenAI checks the other parameters."""
    assert refusal(**members) == (400, param, code)


@pytest.mark.parametrize(
    "part",
    [{"type": "file", "file": {"file_id": "file-of-the-account"}}, {"type": "file"}, {"type": "file", "file": []},
     {"type": "file", "file": {"file_id": "file-of-the-account", "file_data": "data:application/pdf;base64,JVBERg=="}},
     {"type": "input_audio"}, {"type": None},
     {"type": ["text"]}, {}, "text", 7],
)  # fmt: skip
def test_a_part_that_may_name_a_stored_object_is_refused(part: object) -> None:
    """A file id would name a file of the operator's account."""
    content = [{"type": "text", "text": "read this"}, part]
    assert refusal(messages=[{"role": "user", "content": content}]) == (
        400,
        "messages[0].content",
        "unsupported_value",
    )


def test_a_refused_part_is_named() -> None:
    """The sentence names its type."""
    for part, words in (
        ({"type": "input_audio"}, "'input_audio'"),
        ({"type": "file", "file": {"file_id": "x"}}, "file_id"),
    ):
        with pytest.raises(ParameterRefused, match=words):
            read(messages=[{"role": "user", "content": [part]}])


def test_an_inline_file_is_passed_on() -> None:
    """The AI SDK, pydantic-ai, LangChain and llm send a PDF this way."""
    part = {"type": "file", "file": {"filename": "tide.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}
    messages = [{"role": "user", "content": [part]}]
    assert read(messages=messages).body["messages"] == messages


def test_names_of_the_user_and_metadata_are_left_out() -> None:
    """The policy sets its own pseudonym; nothing is stored, so metadata has no use."""
    asked = read(user="grace", safety_identifier="grace", metadata={}, prompt_cache_key="tides", service_tier="flex")
    assert asked.body == {"model": "tide", "messages": HELLO, "prompt_cache_key": "tides", "service_tier": "flex"}


@pytest.mark.parametrize("patch", [{"model": "gpt-6-luna"}, {"model": "o3"}, {"model": "x", "reasoning_effort": "low"}])
def test_a_reasoning_models_bound_is_lowered(patch: dict[str, object]) -> None:
    """SDKs send such models bounds far above any answer."""
    body = {"model": "tide", "messages": HELLO, "max_completion_tokens": 128_000}
    read_body = chat_completions.read(json.dumps(body).encode(), {"tide": patch}, MOST).body
    assert read_body["max_completion_tokens"] == MOST


def test_null_within_options_and_messages_is_absent() -> None:
    """Null is dropped except a message's content, which is null in a message that calls tools."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}
    asked = read(
        stream=True, stream_options={"include_usage": None}, messages=[{**call, "audio": None, "refusal": None}]
    )
    assert (asked.body["stream_options"], asked.wants_usage) == ({}, False)
    assert asked.body["messages"] == [call]


def test_an_unknown_models_error_lists_the_names() -> None:
    """The developer sees the choice."""
    with pytest.raises(ModelNotFound, match="gpt-4o, gpt-4o-mini, tide"):
        read(model="gpt-3")


@pytest.mark.parametrize("content", [7, True, {"type": "text"}])
def test_content_is_text_or_parts(content: object) -> None:
    """Content may be null in a message that calls tools."""
    assert refusal(messages=[{"role": "user", "content": content}])[1] == "messages[0].content"


def test_an_earlier_spoken_answer_is_refused() -> None:
    """Its id names an audio of the operator's account."""
    message = {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    assert refusal(messages=[message]) == (400, "messages[0].audio", "unsupported_parameter")


@pytest.mark.parametrize("model", ["gpt-3", "GPT-4o", ""])
def test_only_the_operators_models_are_there(model: str) -> None:
    """An unknown model gets OpenAI's status and code."""
    with pytest.raises(ModelNotFound) as caught:
        read(model=model)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("content", [b"", b" ", b"hello", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_is_a_json_object(content: bytes) -> None:
    """Anything else gets a 415."""
    with pytest.raises(BodyNotJson):
        chat_completions.read(content, MODELS, MOST)


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    10**400,
    0.5,
    float("nan"),
    "",
    "\ud800",
    [],
    [[]],
    [{}],
    [None],
    {},
    {"type": []},
    {"": [1]},
]


@given(members=st.dictionaries(st.sampled_from(sorted(chat_completions.PASSED_ON)), st.sampled_from(ODD)))
def test_no_values_cause_an_internal_error(members: dict[str, Any]) -> None:
    """Any value gives a request or a refusal, never an internal error."""
    try:
        assert read(**members).model == "tide"
    except CallerFault as fault:
        assert fault.status in (400, 404)  # noqa: PT017 - either is right
