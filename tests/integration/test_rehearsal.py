"""`rehearse` reports the parameters that each generation of models refuses, before a client sees it."""

import json
import os
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import settings_for
from tests.integration.redis_process import RedisProcess

CHAT, RESPONSES = ", chat completions", ", Responses"
SAMPLING = "temperature, top_p"
PENALTIES = "presence_penalty, frequency_penalty, logit_bias"
NO_STOP = 'it refuses stop: clients that send that get a 400, unless MODELS takes it out ("stop": null)'
NO_EFFORT = {"model": "gpt-6-luna", "reasoning_effort": "none"}
Rehearse = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def rehearse(openai: OpenAIStandIn, supabase: SupabaseStandIn, redis_server: RedisProcess) -> Rehearse:
    """Return the exit status and the lines for these models, which serve the old names."""

    def run(*models: object, **environ: str) -> tuple[int, list[str]]:
        table = json.dumps(dict(zip(("gpt-4o", "gpt-4o-mini"), models, strict=True)))
        given = settings_for(openai, supabase, redis_server.url) | {"ENV_FILE": os.devnull, "MODELS": table} | environ
        given["REQUESTS_CA_BUNDLE"] = given["SSL_CERT_FILE"]
        result = CliRunner().invoke(cli, ["rehearse"], env=given)
        return result.exit_code, result.output.splitlines()

    return run


# each generation, by its patch: what it leaves out on chat completions, what else it refuses there, and on Responses
GENERATIONS: dict[str, tuple[object, str, str, str]] = {
    "today's": ("gpt-4o", "", "", ""),
    "without temperature": ("o-strict", "temperature", "", "temperature"),
    "gpt-5": ("gpt-5", f"{SAMPLING}, {PENALTIES}", NO_STOP, SAMPLING),
    "gpt-6": ("gpt-6-luna", f"{SAMPLING}, {PENALTIES}, reasoning_effort=none", NO_STOP, SAMPLING),
    "gpt-6 without effort": (NO_EFFORT, PENALTIES, NO_STOP, ""),
    "gpt-6 as advised": (NO_EFFORT | {"stop": None}, PENALTIES, "", ""),
    "gpt-6 with effort only": (
        "gpt-6.1-sol", f"{SAMPLING}, {PENALTIES}",
        NO_STOP.replace("stop:", "stop, tools:").replace("null", 'null, "tools": null'), SAMPLING,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("patch", "left_out", "refused", "left_out_of_response"), GENERATIONS.values(), ids=GENERATIONS
)
def test_each_generation_is_rehearsed_on_both_apis(
    rehearse: Rehearse, patch: dict[str, object] | str, left_out: str, refused: str, left_out_of_response: str
) -> None:
    """The parameters that would be left out, and those for which a client would get a 400."""
    model = patch if isinstance(patch, str) else str(patch["model"])
    status, lines = rehearse("gpt-4o", patch)
    subject = "gpt-4o-mini" if model == "gpt-4o-mini" else f"gpt-4o-mini as {model}"
    assert lines[2] == line(subject + CHAT, left_out, refused)
    assert lines[3] == line(subject + RESPONSES, left_out_of_response)
    assert status == (1 if refused else 3 if model == "o-strict" else 0)  # whose price is not known


def line(subject: str, left_out: str, refused: str = "") -> str:
    verdict = f"{'WRONG' if refused else 'fine':11}"
    return f"{verdict}  {subject}" + (f" (left out: {left_out})" if left_out else "") + (refused and f": {refused}")


def test_one_short_call_a_name_and_api_with_everything_that_clients_send(
    rehearse: Rehearse, openai: OpenAIStandIn
) -> None:
    """The endpoints' rules apply: `max_tokens` is renamed, the user's name replaced, nothing stored."""
    status, lines = rehearse("gpt-4o", "gpt-4o-mini")
    assert (status, lines[:2]) == (0, [f"fine         gpt-4o{CHAT}", f"fine         gpt-4o{RESPONSES}"])
    chat, response, *_ = [seen.body for seen in openai.completions()]
    assert len(openai.completions()) == 4
    assert set(chat) == {
        "frequency_penalty", "logit_bias", "max_completion_tokens", "messages", "model", "n", "parallel_tool_calls",
        "presence_penalty", "prompt_cache_key", "response_format", "safety_identifier", "seed", "stop", "store",
        "stream", "stream_options", "temperature", "tool_choice", "tools", "top_p",
    }  # fmt: skip
    assert set(response) == {
        "input", "instructions", "max_output_tokens", "metadata", "model", "parallel_tool_calls", "prompt_cache_key",
        "safety_identifier", "store", "stream", "temperature", "text", "tool_choice", "tools", "top_p", "truncation",
    }  # fmt: skip
    assert (chat["store"], response["store"]) == (False, False)
    assert max(len(json.dumps(sent)) for sent in (chat, response)) < 800


COSTS: dict[str, tuple[object, str]] = {
    # 12 tokens in and 16 out a call, at 2.50 and 10 dollars a million
    "today's": ("gpt-4o", "112 tokens and cost $0.000760"),
    # gpt-5's chat completions say only that there was no room for an answer
    "gpt-5": ("gpt-5", "tokens and cost about $0.00"),
    # 0.10 and 0.50 dollars a million
    "gpt-6": ("gpt-6-luna", "112 tokens and cost $0.000037"),
    "gpt-6 without effort": (NO_EFFORT, "112 tokens and cost $0.000037"),
}


@pytest.mark.parametrize(("patch", "expected"), COSTS.values(), ids=COSTS)
def test_the_rehearsal_costs_less_than_a_tenth_of_a_cent(rehearse: Rehearse, patch: object, expected: str) -> None:
    """It tells the tokens and the dollars, by OpenAI's usage and the table of prices."""
    last = rehearse(patch, patch)[1][-1]
    assert last.startswith("fine         the rehearsal took ")
    assert expected in last
    assert float(last.rpartition("$")[2]) < 0.001


def test_prices_and_what_has_none(rehearse: Rehearse) -> None:
    """PRICES overrides the table; a cost that leaves a model out is a remark."""
    status, lines = rehearse("gpt-4o", "gpt-4o-mini", PRICES='{"gpt-4o": {"input": 1, "output": 0}}')
    assert (status, lines[-1]) == (0, "fine         the rehearsal took 112 tokens and cost $0.000047")
    status, lines = rehearse("gpt-4o-mini", "o-strict")
    assert (status, lines[-1].partition(": ")) == (
        3,
        (
            "remark       the rehearsal took 112 tokens and cost $0.000023",
            ": ",
            "that is without o-strict: the price is not known, set PRICES",
        ),
    )


def test_a_model_that_cannot_be_asked_is_wrong(rehearse: Rehearse) -> None:
    """The model is unknown or the key refused; no secret is shown."""
    status, lines = rehearse("gpt-9", "gpt-4o-mini")
    assert (status, lines[0].startswith(f"WRONG        gpt-4o as gpt-9{CHAT}: it cannot be asked")) == (1, True)
    assert lines[2].startswith("fine")
    status, lines = rehearse("gpt-4o", "gpt-4o-mini", OPENAI_API_KEY="sk-another-key-0123456789")
    assert (status, "openai_refused" in lines[0]) == (1, True)
    assert "sk-another" not in "".join(lines)
