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

CHAT = ", chat completions"
SAMPLING = "temperature, top_p, presence_penalty, frequency_penalty, logit_bias"
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


def test_todays_models_accept_everything(rehearse: Rehearse, openai: OpenAIStandIn) -> None:
    """There is one call per name, and the number of tokens is reported."""
    status, lines = rehearse("gpt-4o", "gpt-4o-mini")
    assert (status, lines[0], lines[-1][:26]) == (0, f"fine         gpt-4o{CHAT}", "fine         the rehearsal")
    sent = openai.completions()[0].body
    assert len(openai.completions()) == 2
    assert {"temperature", "top_p", "presence_penalty", "logit_bias", "stop", "tools", "max_completion_tokens"} <= set(
        sent
    )
    assert len(json.dumps(sent)) < 800


def test_refused_parameters_are_named(rehearse: Rehearse) -> None:
    """The report has the parameters that are left out, and those that get a 400."""
    status, lines = rehearse("gpt-5", "gpt-6-luna")
    assert status == 1
    assert lines[0].startswith(f"WRONG        gpt-4o as gpt-5{CHAT} (left out: {SAMPLING}): it refuses stop")
    assert 'MODELS takes it out ("stop": null)' in lines[0]
    assert lines[1].startswith(f"WRONG        gpt-4o-mini as gpt-6-luna{CHAT} (left out: ")
    assert "reasoning_effort=none" in lines[1]
    assert "it refuses stop" in lines[1]


def test_a_patch_that_removes_the_parameter_is_fine(rehearse: Rehearse) -> None:
    """The rehearsal advised it. With effort none the successor keeps the temperature."""
    successor = {"model": "gpt-6-luna", "reasoning_effort": "none", "stop": None}
    status, lines = rehearse(successor, successor)
    penalties = "presence_penalty, frequency_penalty, logit_bias"
    assert (status, lines[0]) == (0, f"fine         gpt-4o as gpt-6-luna{CHAT} (left out: {penalties})")


def test_a_model_that_cannot_be_asked_is_wrong(rehearse: Rehearse) -> None:
    """The model is unknown or the key refused; no secret is shown."""
    status, lines = rehearse("gpt-9", "gpt-4o-mini")
    assert (status, lines[0].startswith(f"WRONG        gpt-4o as gpt-9{CHAT}: it cannot be asked")) == (1, True)
    assert lines[1].startswith("fine")
    status, lines = rehearse("gpt-4o", "gpt-4o-mini", OPENAI_API_KEY="sk-another-key-0123456789")
    assert (status, "openai_refused" in lines[0]) == (1, True)
    assert "sk-another" not in "".join(lines)
