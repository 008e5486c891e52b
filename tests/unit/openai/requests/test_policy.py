"""What the operator lays on every request."""

import json

import pytest

from broker.openai.requests.policy import Terms, merge_patch

HELLO = [{"role": "user", "content": "hello"}]
AS_IT_IS = {"gpt-4o": {"model": "gpt-4o"}}


def terms(**patch: object) -> Terms:
    return Terms({"gpt-4o": {"model": "gpt-4o", **patch}}, 1000, "secret")


def asked(**members: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": HELLO, **members}


def test_an_answer_has_an_upper_bound() -> None:
    """Where the request names none."""
    assert terms().request(asked(), "ada")["max_completion_tokens"] == 1000
    assert terms().request(asked(max_completion_tokens=5), "ada")["max_completion_tokens"] == 5


def test_the_older_endpoints_send_what_they_always_sent() -> None:
    """The patch alone is laid over it."""
    assert terms().patched(asked(temperature=0.7)) == asked(temperature=0.7)
    assert terms(temperature=None, seed=1).patched(asked(temperature=0.7)) == asked(seed=1)


def test_openai_knows_a_user_by_another_name() -> None:
    """The same for each call, another for each user and broker, no longer than OpenAI takes, the id not in it."""
    name = terms().request(asked(), "ada")["safety_identifier"]
    assert name == terms().request(asked(temperature=0), "ada")["safety_identifier"] == terms().pseudonym("ada")
    others = {terms().pseudonym("grace"), Terms(AS_IT_IS, 1000, "other").pseudonym("ada")}
    assert len({name} | others) == 3
    assert len(name) == 64
    assert "ada" not in name


def test_no_client_names_the_user() -> None:
    """What it might have sent is replaced."""
    assert terms().request(asked(safety_identifier="grace"), "ada")["safety_identifier"] == terms().pseudonym("ada")


def test_the_models_patch_comes_last() -> None:
    """An operator's merge patch is laid over all of it; null takes a field out, the broker's own too."""
    patch = {"model": "gpt-6-luna", "reasoning_effort": "none", "temperature": None}
    made = terms(**patch, max_completion_tokens=None, safety_identifier=None).request(asked(temperature=0.2), "ada")
    assert made == {"model": "gpt-6-luna", "reasoning_effort": "none", "messages": HELLO}
    assert terms(max_completion_tokens=7).request(asked(max_completion_tokens=900), "ada")["max_completion_tokens"] == 7


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
