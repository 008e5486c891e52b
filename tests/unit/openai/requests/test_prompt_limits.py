"""How much may be asked in one request."""

from typing import Any

import pytest

from broker.errors.limits import PromptTooLong, TooManyMessages
from broker.openai.requests import prompt_limits
from broker.settings.settings import Settings
from tests.apps import REQUIRED

SETTINGS = Settings.from_environ(REQUIRED | {"MAX_MESSAGES": "3", "MAX_PROMPT_CHARACTERS": "10"})


def ask(*contents: Any) -> None:
    prompt_limits.check({"messages": [{"role": "user", "content": content} for content in contents]}, SETTINGS)


def test_up_to_the_caps_all_is_well() -> None:
    """Text in parts and in one piece; an image's address is no text."""
    ask("12345", [{"type": "text", "text": "67890"}, {"type": "image_url", "image_url": {"url": "x" * 99}}], None)


def test_too_many_messages_are_refused() -> None:
    """With the number that is allowed."""
    with pytest.raises(TooManyMessages) as raised:
        ask(*"1234")
    assert (raised.value.status, raised.value.details) == (400, {"limit": 3})


@pytest.mark.parametrize("contents", [("x" * 11,), ("x" * 6, "y" * 5), ([{"type": "text", "text": "x" * 11}],)])
def test_too_long_a_text_is_refused(contents: tuple[Any, ...]) -> None:
    """Over all messages and parts together."""
    with pytest.raises(PromptTooLong) as raised:
        ask(*contents)
    assert (raised.value.status, raised.value.details) == (400, {"limit": 10})


def test_what_is_no_text_is_left_to_openai() -> None:
    """Nothing that a client may send breaks the count."""
    prompt_limits.check({"messages": [5, {"content": {"text": 5}}, {"content": [[], {"text": []}]}]}, SETTINGS)
    prompt_limits.check({}, SETTINGS)
