"""The operator's limits and patches, applied to every request."""

import dataclasses
import json
from typing import Any

import pytest

from broker.errors.limits import PromptTooLong, TooManyMessages
from broker.openai.requests.policy import RequestPolicy, merge_patch

HELLO = [{"role": "user", "content": "hello"}]


def policy(**patch: object) -> RequestPolicy:
    return RequestPolicy(
        patches={"gpt-4o": {"model": "gpt-4o", **patch}},
        max_completion_tokens=1000,
        max_messages=3,
        max_prompt_characters=10,
        secret="secret",
    )


def asked(**members: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": HELLO, **members}


def test_an_answer_has_an_upper_bound() -> None:
    """The bound is added to a request that has none."""
    assert policy().apply_for_user(asked(), "ada")["max_completion_tokens"] == 1000
    assert policy().apply_for_user(asked(max_completion_tokens=5), "ada")["max_completion_tokens"] == 5


def test_the_older_endpoints_add_no_bound() -> None:
    """Only the patch is applied."""
    assert policy().apply(asked(temperature=0.7)) == asked(temperature=0.7)
    assert policy(temperature=None, seed=1).apply(asked(temperature=0.7)) == asked(seed=1)


def test_openai_knows_a_user_by_another_name() -> None:
    """The pseudonym is stable, differs by user and broker, is at most 64 characters long without the id."""
    name = policy().apply_for_user(asked(), "ada")["safety_identifier"]
    assert (
        name == policy().apply_for_user(asked(temperature=0), "ada")["safety_identifier"] == policy().pseudonym("ada")
    )
    other_tenant = dataclasses.replace(policy(), secret="other")
    others = {policy().pseudonym("grace"), other_tenant.pseudonym("ada")}
    assert len({name} | others) == 3
    assert len(name) == 64
    assert "ada" not in name


def test_no_client_names_the_user() -> None:
    """A client's own identifier is replaced."""
    assert policy().apply_for_user(asked(safety_identifier="grace"), "ada")["safety_identifier"] == policy().pseudonym(
        "ada"
    )


def test_the_models_patch_comes_last() -> None:
    """The patch overrides everything; null removes a field, including the broker's own."""
    patch = {"model": "gpt-6-luna", "reasoning_effort": "none", "temperature": None}
    made = policy(**patch, max_completion_tokens=None, safety_identifier=None).apply_for_user(
        asked(temperature=0.2), "ada"
    )
    assert made == {"model": "gpt-6-luna", "reasoning_effort": "none", "messages": HELLO}
    assert (
        policy(max_completion_tokens=7).apply_for_user(asked(max_completion_tokens=900), "ada")["max_completion_tokens"]
        == 7
    )


def ask(*contents: Any) -> None:
    policy().apply(asked(messages=[{"role": "user", "content": content} for content in contents]))


def test_messages_up_to_the_limits_are_accepted() -> None:
    """Text counts in one piece and in content parts; an image URL is no text."""
    ask("12345", [{"type": "text", "text": "67890"}, {"type": "image_url", "image_url": {"url": "x" * 99}}], None)


def test_too_many_messages_are_refused() -> None:
    """The error carries the limit."""
    with pytest.raises(TooManyMessages) as raised:
        ask(*"1234")
    assert (raised.value.status, raised.value.details) == (400, {"limit": 3})


@pytest.mark.parametrize("contents", [("x" * 11,), ("x" * 6, "y" * 5), ([{"type": "text", "text": "x" * 11}],)])
def test_too_long_a_prompt_is_refused(contents: tuple[Any, ...]) -> None:
    """All messages and content parts count together."""
    with pytest.raises(PromptTooLong) as raised:
        ask(*contents)
    assert (raised.value.status, raised.value.details) == (400, {"limit": 10})


def test_malformed_messages_do_not_break_the_count() -> None:
    """OpenAI refuses them itself."""
    policy().apply(asked(messages=[5, {"content": {"text": 5}}, {"content": [[], {"text": []}]}]))
    policy().apply({"model": "gpt-4o"})


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_shows(target: object, patch: object, result: object) -> None:
    """The examples of RFC 7396, appendix A."""
    before = json.dumps([target, patch])
    assert merge_patch(target, patch) == result
    assert json.dumps([target, patch]) == before
