"""The limits of one caller: each is refused clearly, before OpenAI is asked."""

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.ledger import name_of, scrape
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

NewUser = Callable[[BrokerProcess], User]
LONG = "x" * 101
BLOCKED, WELCOME = str(uuid.uuid4()), str(uuid.uuid4())
LIMITS = {
    "MAX_BODY_BYTES": "5000",
    "MAX_MESSAGES": "3",
    "MAX_PROMPT_CHARACTERS": "100",
    "MAX_CALLS_PER_USER": "2",
    "MAX_CALLS_PER_WORKER": "6",
    "BLOCKED_IDS": f'["{BLOCKED}"]',
    "ID_WHITE_LIST": f'["{WELCOME}"]',
    "WEB_CONCURRENCY": "1",
}
PATHS = ["/advanced-gpt-4o-mini-complete", "/gpt-4o", "/stream", "/v1/chat/completions"]


@pytest.fixture
def strict(broker_with: StartBroker, openai: OpenAIStandIn) -> BrokerProcess:
    return broker_with(**LIMITS)


def code_of(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    return response.status_code, (body["error"] if isinstance(body["error"], dict) else body)["code"]


def test_over_each_cap_there_is_a_clear_refusal_and_openai_is_not_asked(
    strict: BrokerProcess, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Every endpoint refuses without a charge, and the error names the limit."""
    ada = new_user(strict)
    for path in PATHS:
        for messages, refusal in (
            ([{"role": "user", "content": "x"}] * 4, (400, "too_many_messages")),
            ([{"role": "user", "content": "x" * 101}], (400, "prompt_too_long")),
            ([{"role": "user", "content": "x" * 6000}], (413, "body_too_large")),
        ):
            response = ada.post(path, {"messages": messages, "model": "gpt-4o"})
            assert code_of(response) == refusal, path
            assert response.headers["RateLimit"].startswith('"daily";r=50;')
    assert openai.completions() == []


BILLED: list[tuple[str, dict[str, object]]] = [
    ("refusal", {"role": "assistant", "content": "", "refusal": LONG}),
    ("refusal part", {"role": "assistant", "content": [{"type": "refusal", "refusal": LONG}]}),
    ("name", {"role": "user", "content": "x", "name": LONG}),
    ("arguments", {"role": "assistant", "content": "", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": LONG}}]}),
    ("file data", {"role": "user", "content": [{"type": "file", "file": {"file_data": LONG}}]}),
]  # fmt: skip
BILLED_MEMBERS: dict[str, object] = {
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"description": LONG}}}],
    "functions": [{"name": "f", "description": LONG}],
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"description": LONG}}},
    "stop": [LONG],
}


def test_all_that_openai_bills_counts_as_the_prompt(
    strict: BrokerProcess, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """It counts at every endpoint, in every place of the request."""
    ada = new_user(strict)
    for path in PATHS:
        for kind, message in BILLED:
            response = ada.post(path, {"messages": [message], "model": "gpt-4o"})
            assert code_of(response) == (400, "prompt_too_long"), (path, kind)
    for name, value in BILLED_MEMBERS.items():
        body = {"messages": [{"role": "user", "content": "x"}], "model": "gpt-4o", name: value}
        assert code_of(ada.post("/v1/chat/completions", body)) == (400, "prompt_too_long"), name
    assert openai.completions() == []


def test_calls_in_flight_are_bounded_per_user_and_no_place_sticks(
    strict: BrokerProcess,
    new_user: NewUser,
    openai: OpenAIStandIn,
    redis_server: RedisProcess,
    supabase: SupabaseStandIn,
) -> None:
    """A stream holds its place to its end, in every case. Exempt users have no such limit."""
    ada = new_user(strict)
    openai.next("silent_mid_stream", times=2)
    streams = [ada.stream(), ada.stream()]
    response = ada.post("/gpt-4o", {"messages": "x"})
    assert code_of(response) == (429, "too_many_calls_in_flight")
    assert response.headers["Retry-After"] == "1"
    assert response.headers["RateLimit"].startswith('"daily";r=48;')
    for stream in streams:
        stream.close()
    within(2, lambda: ada.post("/gpt-4o", {"messages": "x"}).status_code == 200)
    within(2, lambda: redis_server.client.keys(f"*{ada.id}*places") == [])
    openai.next("silent_mid_stream", times=3)
    welcome = User(WELCOME, strict.url, supabase.token_for(WELCOME))
    for stream in [welcome.stream() for _ in range(3)]:
        assert stream.status_code == 200
        stream.close()
    within(2, lambda: scrape(strict)[name_of("gpt_broker_calls_in_flight")] == 0)


def test_calls_in_flight_are_bounded_per_worker(
    strict: BrokerProcess, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """503 with `Retry-After`, before Redis or OpenAI is asked; the others are served."""
    openai.first_token_delay = 0.5
    users = [new_user(strict) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda user: user.post("/gpt-4o", {"messages": "x"}), users))
    assert Counter(answer.status_code for answer in answers) == {200: 6, 503: 14}
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert (busy.json()["code"], busy.headers["Retry-After"]) == ("busy", "1")
    assert len(openai.completions()) == 6
    assert users[0].post("/gpt-4o", {"messages": "x"}).status_code == 200


def test_a_blocked_user_is_refused_at_once(
    strict: BrokerProcess, supabase: SupabaseStandIn, openai: OpenAIStandIn
) -> None:
    """Every endpoint that needs a token refuses."""
    headers = {"Authorization": f"Bearer {supabase.token_for(BLOCKED)}"}
    for method, path in [("POST", path) for path in PATHS] + [("GET", "/v1/usage"), ("GET", "/v1/models")]:
        response = requests.request(method, strict.url + path, headers=headers, json={"messages": "x"}, timeout=5)
        assert code_of(response) == (403, "blocked")
    assert openai.completions() == []


def test_anonymous_users_are_refused_unless_they_have_a_limit(
    start_broker: StartBroker, strict: BrokerProcess, supabase: SupabaseStandIn
) -> None:
    """They have a limit of their own, which `RateLimit` shows."""
    token = supabase.token_for(str(uuid.uuid4()), is_anonymous=True)
    headers = {"Authorization": f"Bearer {token}"}
    refused = requests.post(strict.url + "/gpt-4o", headers=headers, json={"messages": "x"}, timeout=5)
    assert code_of(refused) == (403, "anonymous_not_allowed")
    lenient = start_broker(ANONYMOUS_DAILY_LIMIT="1", WEB_CONCURRENCY="1")
    answers = [requests.post(lenient.url + "/gpt-4o", headers=headers, json={"messages": "x"}, timeout=5) for _ in "ab"]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"daily";q=1;w=86400'
