"""Requests of the older endpoints: accepted forms, and the contract's sentences for the others."""

import json
from typing import Any

import pytest

from broker.errors.base import BodyNotJson
from broker.errors.request import (
    MessageIncomplete,
    MessagesInvalid,
    MessagesMissing,
    ModelUnknown,
    PromptMissing,
    TemperatureInvalid,
)
from broker.openai.requests import prompts

HELLO = [{"role": "user", "content": "hello"}]


def body(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_a_query_becomes_one_system_message() -> None:
    """`?prompt=…` becomes a system message at the default temperature."""
    prompt = prompts.read_query("be brief", "gpt-4o-mini")
    assert prompt.request() == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "be brief"}],
        "temperature": 0.7,
    }


@pytest.mark.parametrize("query", [None, ""])
def test_a_query_needs_a_prompt(query: str | None) -> None:
    """An empty prompt counts as missing."""
    with pytest.raises(PromptMissing):
        prompts.read_query(query, "gpt-4o-mini")


def test_the_bare_array_is_messages() -> None:
    """The apps in production send the array itself."""
    assert prompts.read_messages(json.dumps(HELLO).encode(), "m").messages == HELLO


@pytest.mark.parametrize("read", [prompts.read_messages, prompts.read_conversation])
def test_messages_may_be_wrapped(read: Any) -> None:
    """Every endpoint accepts `{"messages": […]}`."""
    assert read(body(messages=HELLO), "m").messages == HELLO


def test_a_string_is_one_user_message() -> None:
    """Text without a JSON array becomes a user message."""
    assert prompts.read_conversation(body(messages="hi [there"), "m").messages == [
        {"role": "user", "content": "hi [there"}
    ]
    assert prompts.read_conversation(body(messages='{"a": 1}'), "m").messages[0]["content"] == '{"a": 1}'


def test_a_string_that_holds_an_array_is_that_array() -> None:
    """Some clients serialise twice."""
    assert prompts.read_conversation(body(messages=json.dumps(HELLO)), "m").messages == HELLO


def test_further_fields_and_content_parts_pass_through() -> None:
    """OpenAI checks them itself."""
    messages = [
        {"role": "user", "name": "ada", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    assert prompts.read_conversation(body(messages=messages), "m").messages == messages


@pytest.mark.parametrize("content", [b"", b"  \n", b"{}", b"null", b'{"messages": null}', b'{"messages": ""}'])
@pytest.mark.parametrize("read", [prompts.read_messages, prompts.read_conversation])
def test_messages_are_required(read: Any, content: bytes) -> None:
    """A missing body, an empty body and a body without messages get the same sentence."""
    with pytest.raises(MessagesMissing):
        read(content, "m")


def test_a_conversation_is_no_bare_array() -> None:
    """Only the first version takes the array itself."""
    with pytest.raises(MessagesMissing):
        prompts.read_conversation(json.dumps(HELLO).encode(), "m")


@pytest.mark.parametrize("value", [0, 5, 1.5, True, False, {}, {"role": "user", "content": "x"}])
def test_messages_are_an_array(value: object) -> None:
    """A number, an object and a bool are refused."""
    with pytest.raises(MessagesInvalid):
        prompts.read_conversation(body(messages=value), "m")


@pytest.mark.parametrize("value", [["x"], [None], [{}], [{"role": "user"}], [{"content": "x"}], '[{"role": "user"}]'])
def test_each_message_has_a_role_and_a_content(value: object) -> None:
    """Messages in an array within a string are checked too."""
    with pytest.raises(MessageIncomplete):
        prompts.read_conversation(body(messages=value), "m")


@pytest.mark.parametrize("content", [b"hello", b"{", b"a=b", b'{"messages": [}', b"\xff\xfe\x00", b"[" * 100_000])
def test_a_body_is_json(content: bytes) -> None:
    """Any other body is refused, at any depth."""
    with pytest.raises(BodyNotJson):
        prompts.read_conversation(content, "m")


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 1, 1.0])
def test_a_temperature_is_passed_on(value: float) -> None:
    """Values from 0 to 1 are accepted, both included."""
    assert prompts.read_conversation(body(messages="x", temperature=value), "m").temperature == value


@pytest.mark.parametrize("value", [-0.1, 1.1, 2, True, False, "0.5", None, [], {}, float("nan"), float("inf"), 10**400])
def test_a_temperature_is_a_number_from_0_to_1(value: object) -> None:
    """A bool, a string and NaN are refused."""
    with pytest.raises(TemperatureInvalid):
        prompts.read_conversation(body(messages="x", temperature=value), "m")


@pytest.mark.parametrize("value", ["gpt-4", "", None, 4, ["gpt-4o"], {"gpt-4o": 1}])
def test_a_stream_names_its_model(value: object) -> None:
    """Only the two public names are accepted, regardless of MODELS."""
    with pytest.raises(ModelUnknown):
        prompts.read_stream(body(messages="x", model=value))


def test_errors_come_in_the_contracts_order() -> None:
    """Messages are checked first, then temperature, then model."""
    with pytest.raises(MessagesInvalid):
        prompts.read_stream(body(messages=1, temperature=9, model="x"))
    with pytest.raises(TemperatureInvalid):
        prompts.read_stream(body(messages="x", temperature=9, model="x"))
