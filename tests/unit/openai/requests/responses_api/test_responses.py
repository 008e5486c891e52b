"""Requests in the Responses format: accepted parameters, refusals, and collected ids."""

import json
from dataclasses import replace
from typing import Any

import pytest

from broker.errors.base import BodyNotJson, CallerFault, ModelNotFound, ParameterRefused
from broker.errors.responses import StoreRefused
from broker.openai.requests.responses_api.response_items import HOSTED_ITEMS
from broker.openai.requests.responses_api.response_tools import HOSTED_TYPES
from broker.openai.requests.responses_api.responses import ResponseRequest, Rules, read
from broker.settings.hosted_tools import HOSTED_TOOLS
from tests.recorded import RECORDED

RULES = Rules(models={"gpt-4o": {"model": "gpt-4o"}}, most_tokens=100, is_store_allowed=True, hosted_tools=frozenset())
ALL_TOOLS = replace(RULES, hosted_tools=frozenset(HOSTED_TOOLS))


def ask(rules: Rules = RULES, **members: Any) -> ResponseRequest:
    return read(json.dumps({"model": "gpt-4o", "input": "x", **members}).encode(), rules)


def refused(rules: Rules = RULES, **members: Any) -> ParameterRefused:
    with pytest.raises(ParameterRefused) as caught:
        ask(rules, **members)
    return caught.value


def requests_recorded() -> list[Any]:
    """Return the bodies of recorded requests, if their folder exists."""
    paths = sorted((RECORDED / "responses").glob("*/*.json"))
    bodies = [json.loads(path.read_text())["request"]["body"] for path in paths]
    return [body for body in bodies if body and not body.get("background")]


def test_requests_of_real_clients_are_accepted() -> None:
    """Every recorded request passes, with the hosted tool that one of them uses."""
    for body in requests_recorded():
        rules = replace(ALL_TOOLS, models={body["model"]: {"model": body["model"]}}, most_tokens=10**6)
        assert read(json.dumps(body).encode(), rules).model == body["model"]


@pytest.mark.parametrize("members", [
    {"instructions": "Be brief."}, {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"id": 1}}}},
    {"reasoning": {"effort": "low"}}, {"include": ["reasoning.encrypted_content"]}, {"max_output_tokens": 100},
    {"parallel_tool_calls": False}, {"truncation": "auto"}, {"metadata": {"id": "x"}}, {"prompt_cache_key": "x"},
    {"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"id": {}, "file_id": {}}}}]},
    {"tool_choice": {"type": "function", "name": "f"}}, {"temperature": 0.5, "top_p": 1}, {"service_tier": "flex"},
    {"store": False, "stream": True, "stream_options": {"include_obfuscation": False}}, {"top_logprobs": 2},
    {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,eA=="}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "eA==", "filename": "a.pdf"}]}]},
])  # fmt: skip
def test_listed_parameters_pass_unchanged(members: dict[str, Any]) -> None:
    """OpenAI checks their values."""
    assert ask(**members).body == {"model": "gpt-4o", "input": "x", **members}


@pytest.mark.parametrize("patch", [{"model": "gpt-6-luna"}, {"model": "o3"}, {"model": "x", "reasoning_effort": "low"},
                                   {"model": "x", "reasoning": {"effort": "low"}}])  # fmt: skip
def test_a_reasoning_models_bound_is_lowered(patch: dict[str, object]) -> None:
    """Chat completions do the same. A lower bound stays."""
    rules = replace(RULES, models={"gpt-4o": patch})
    bounds = [ask(rules, max_output_tokens=given).body["max_output_tokens"] for given in (10**6, 101, 99.0, 7)]
    assert bounds == [100, 100, 99, 7]
    assert refused(rules, max_output_tokens=0).details["param"] == "max_output_tokens"


def test_null_is_absent_and_the_users_name_is_the_brokers() -> None:
    """`user` and `safety_identifier` are replaced later; `background: false` is the default."""
    read_as = ask(user="me", safety_identifier="me", background=False, previous_response_id=None, temperature=None)
    assert read_as.body == {"model": "gpt-4o", "input": "x"}
    assert (read_as.previous_id, read_as.references, read_as.is_stream) == (None, (), False)


@pytest.mark.parametrize(("members", "param"), [
    ({"background": True}, "background"), ({"conversation": "conv_1"}, "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation"), ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"messages": []}, "messages"), ({"service_tier": "priority"}, "service_tier"),
    ({"stream_options": {"include_usage": True}}, "stream_options"), ({"store": "no"}, "store"),
    ({"max_output_tokens": 101}, "max_output_tokens"), ({"max_output_tokens": True}, "max_output_tokens"),
    ({"input": None}, "input"), ({"input": 7}, "input"), ({"input": ["x"]}, "input[0]"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file", "file_id": "f"}]}]},
     "input[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}, "input[0]"),
    ({"input": [{"content": "x"}]}, "input[0].type"), ({"input": [{"type": "compaction"}]}, "input[0].type"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"name": "f"}]}, "tools[0].type"), ({"tools": [{"type": "shell"}]}, "tools[0].type"),
    ({"previous_response_id": 7}, "previous_response_id"), ({"stream": 1}, "stream"),
])  # fmt: skip
def test_unoffered_parameters_are_refused_by_name(members: dict[str, Any], param: str) -> None:
    """The error has OpenAI's format and names the reason."""
    assert refused(**members).details["param"] == param


@pytest.mark.parametrize("kind", [
    "web_search", "web_search_preview", "web_search_2025_08_26", "file_search", "code_interpreter",
    "computer_use_preview", "image_generation", "mcp",
])  # fmt: skip
def test_hosted_tools_are_refused_unless_listed(kind: str) -> None:
    """Hosted tools are refused as tools and as items of an earlier turn."""
    tools = [{"type": kind, "server_url": "https://mcp.example", "container": {"type": "auto"}}]
    assert "hosted tool" in refused(tools=tools).sentence
    assert ask(ALL_TOOLS, tools=tools).body["tools"] == tools
    for item, tool in HOSTED_ITEMS.items():
        if kind.startswith(HOSTED_TYPES[tool]):
            assert refused(input=[{"type": item}]).details["param"] == "input[0].type"
            assert ask(ALL_TOOLS, input=[{"type": item}]).model == "gpt-4o"


def test_every_hosted_item_belongs_to_a_tool_that_can_be_listed() -> None:
    """The tables of tools and items agree."""
    assert set(HOSTED_ITEMS.values()) | set(HOSTED_TYPES) == set(HOSTED_TOOLS)


@pytest.mark.parametrize("tool", [
    {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}},
    {"type": "image_generation", "input_image_mask": {"file_id": "file-1"}},
])  # fmt: skip
def test_a_hosted_tool_names_no_files(tool: dict[str, Any]) -> None:
    """The files belong to the operator's account."""
    assert refused(ALL_TOOLS, tools=[tool]).details["param"] == "tools[0]"


def test_every_id_is_collected_once() -> None:
    """Ids come from references with and without a type, repeated items, nested members and containers."""
    items = [
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_2"},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "x"},
        {"type": "function_call", "id": "fc_4", "call_id": "call_1", "name": "f", "arguments": '{"id": "x"}'},
        {"type": "function_call_output", "id": None, "call_id": "call_1", "output": "x"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_5", "approve": True},
        {"type": "computer_call_output", "call_id": "c", "output": {}, "acknowledged_safety_checks": [{"id": "cu_6"}]},
        {"type": "code_interpreter_call", "id": "ci_7", "container_id": "cntr_8", "code": "x"},
        {"role": "user", "content": "id"},
        {"id": "msg_2"},
        {"type": "item_reference", "id": {"id": 7}},
    ]
    read_as = ask(
        ALL_TOOLS,
        input=items,
        previous_response_id="resp_0",
        tools=[{"type": "code_interpreter", "container": "cntr_9"}],
    )
    assert read_as.previous_id == "resp_0"
    expected = ["msg_1", "msg_2", "rs_3", "fc_4", "mcpr_5", "cu_6", "ci_7", "cntr_8", "{'id': 7}", "cntr_9"]
    assert list(read_as.references) == expected


@pytest.mark.parametrize("store", [{}, {"store": True}, {"store": None}])
def test_refusing_to_store_names_the_option_of_each_sdk(store: dict[str, Any]) -> None:
    """`store` is never changed silently: the second turn would fail."""
    rules = replace(RULES, is_store_allowed=False)
    with pytest.raises(StoreRefused) as caught:
        ask(rules, **store)
    for name in ("openai SDK", "Vercel AI SDK", "Agents SDK", "LangChain", "pydantic-ai", "TanStack AI"):
        assert name in caught.value.sentence
    assert ask(rules, store=False).body["store"] is False


@pytest.mark.parametrize(("body", "kind"), [
    (b"", BodyNotJson), (b"[]", BodyNotJson), (b'{"model": "gpt-5", "input": "x"}', ModelNotFound),
    (b'{"input": "x"}', ParameterRefused), (b'{"model": "gpt-4o", "input": "x", "input": "y"}', CallerFault),
])  # fmt: skip
def test_other_bodies_are_refused(body: bytes, kind: type[CallerFault]) -> None:
    """A body that names a member twice is refused too, because OpenAI may read the other value."""
    with pytest.raises(kind):
        read(body, RULES)
