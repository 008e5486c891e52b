"""Translation of a chat patch into the Responses API's spelling: one MODELS line serves both APIs."""

from typing import Any

import pytest

from broker.openai.requests.policy import merge_patch
from broker.openai.requests.responses_api.responses_patch import translate

SCHEMA = {"name": "tide", "schema": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    ("patch", "translated"),
    [
        ({"model": "gpt-6-luna", "reasoning_effort": "none"}, {"model": "gpt-6-luna", "reasoning": {"effort": "none"}}),
        ({"reasoning_effort": None}, {"reasoning": {"effort": None}}),
        ({"max_completion_tokens": 9}, {"max_output_tokens": 9}),
        ({"max_tokens": None}, {"max_output_tokens": None}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        ({"response_format": {"type": "json_schema", "json_schema": SCHEMA}, "verbosity": "low"},
         {"text": {"format": {"type": "json_schema", **SCHEMA}, "verbosity": "low"}}),
        ({"response_format": None}, {"text": {"format": None}}),
        ({"temperature": None, "service_tier": "flex"}, {"temperature": None, "service_tier": "flex"}),
        ({"stop": ["x"], "seed": 1, "presence_penalty": None}, {}),
        ({"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
         {"reasoning": {"effort": "low", "summary": "auto"}}),
        ({"text": None, "max_output_tokens": 5}, {"text": None, "max_output_tokens": 5}),
    ],
)  # fmt: skip
def test_a_chat_patch_in_the_other_spelling(patch: dict[str, Any], translated: dict[str, Any]) -> None:
    """Null still removes a field; parameters that the Responses API lacks are left out."""
    assert translate(patch) == translated


def test_it_leaves_a_requests_other_members_alone() -> None:
    """Nested members are merged as in RFC 7396."""
    request = {"input": "hi", "reasoning": {"effort": "high", "summary": "auto"}, "text": {"format": {"type": "text"}}}
    patched = merge_patch(request, translate({"reasoning_effort": "none", "verbosity": "low"}))
    assert patched["reasoning"] == {"effort": "none", "summary": "auto"}
    assert patched["text"] == {"format": {"type": "text"}, "verbosity": "low"}
