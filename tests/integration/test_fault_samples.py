"""Every input of `tests/samples/faults` in front of a real broker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker_process import BrokerProcess, DidNotStart
from deploy.local.openai_api import OpenAIStandIn
from tests.apps import REQUIRED
from tests.faults import RESPONSES, STREAMS, long_prompts, wrong_settings
from tests.integration.conftest import StartBroker, User
from tests.integration.starvation import Stopwatch

NewUser = Callable[[BrokerProcess], User]
TEXT = "Hi 🧩 there"
PING_INTERVAL = 0.5  # seconds
EVENT = 0.2  # seconds between two events
READ = {"leading_crlf", "gzip_unasked"}  # the other responses are refused after one try
BIG = "x" * 500_000
PROMPTS = long_prompts(BIG)
SECRETS = [one for one in wrong_settings() if one[1] in ("OPENAI_API_KEY", "SUPABASE_SERVICE_KEY", "REDIS_URL")]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_is_read_as_the_standard_says(ada: User, openai: OpenAIStandIn, path: Path) -> None:
    """No text is lost, and a character that came in two chunks is in one line."""
    openai.next("events", body=path.read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in ada.stream().iter_lines()]
    assert "".join(line["data"] for line in lines) == TEXT
    assert sum("🧩" in line["data"] for line in lines) == 1


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_under_v1_its_first_byte_comes_within_the_ping_interval(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn, path: Path
) -> None:
    """Although OpenAI sends its events slowly, and text late."""
    broker = broker_with(STREAM_PING_INTERVAL=str(PING_INTERVAL))
    user = new_user(broker)
    openai.next("events", body=path.read_text(encoding="utf-8"), delay=EVENT)
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "stream": True}
    watch = Stopwatch(broker.workers())
    with user.post("/v1/chat/completions", ask, stream=True) as response:
        first = response.raw.read1(65_536)
        assert watch.seconds() < PING_INTERVAL + EVENT
        body = first + response.raw.read()
    assert b"[DONE]" in body
    assert b'"error"' not in body


@pytest.mark.parametrize("path", RESPONSES, ids=lambda path: path.stem)
def test_an_odd_response_is_read_or_refused_after_one_try(ada: User, openai: OpenAIStandIn, path: Path) -> None:
    """OpenAI is paid for each."""
    openai.next("raw", times=3, data=path.read_bytes())
    response = ada.post("/gpt-4o", {"messages": "x"})
    assert len(openai.completions()) == 1
    if path.stem in READ:
        assert response.json() == {"message": "Hello there"}
    else:
        assert (response.status_code, response.json()["code"]) == (502, "openai_answer_invalid")


@pytest.mark.parametrize(("path", "body"), [one[1:] for one in PROMPTS], ids=[one[0] for one in PROMPTS])
def test_a_prompt_that_is_long_in_an_odd_place_is_refused(
    broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn, path: str, body: dict[str, Any]
) -> None:
    """OpenAI would bill it."""
    response = new_user(broker_with(MAX_PROMPT_CHARACTERS="200")).post(path, body)
    error = response.json()["error"] if path.startswith("/v1") else response.json()
    assert (response.status_code, error["code"]) == (400, "prompt_too_long")
    assert openai.completions() == []


@pytest.mark.parametrize(
    ("variable", "value"), [one[1:] for one in SECRETS], ids=[f"{one[1]}: {one[0]}" for one in SECRETS]
)
def test_a_wrong_secret_ends_the_start_with_one_message_that_names_it(variable: str, value: str) -> None:
    """One problem in one message, without a traceback or a part of the value. The exit status is 1."""
    broker = BrokerProcess(REQUIRED | {"REDIS_URL": "redis://127.0.0.1:6379", variable: value})
    with pytest.raises(DidNotStart):
        broker.wait_until()
    assert broker.stop() == 1
    title, problem, *more = broker.log().splitlines()
    assert (title, more) == ("The settings cannot be used:", [])
    assert problem.startswith(f"  - {variable} ")
    assert "planted" not in problem
