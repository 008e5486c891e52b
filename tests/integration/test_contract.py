"""The wire contract, row by row, as a client sees it."""

import json

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import User
from tests.integration.waiting import within

HELLO = [{"role": "user", "content": "hello"}]
COUNTED = [
    ("GET", "/simple-gpt-4o-mini-complete"),
    ("POST", "/advanced-gpt-4o-mini-complete"),
    ("POST", "/v2/advanced-gpt-4o-mini-complete"),
    ("POST", "/gpt-4o"),
    ("POST", "/stream"),
]
CONVERSATIONS = ["/v2/advanced-gpt-4o-mini-complete", "/gpt-4o", "/stream"]


def error_of(response: requests.Response) -> tuple[int, str]:
    """Return status and sentence, after checking the body's format."""
    body = response.json()
    assert body["message"] is None
    assert body["code"]
    return response.status_code, body["error"]


def remaining(response: requests.Response) -> int:
    return int(response.headers["RateLimit"].split("r=")[1].split(";")[0])


def test_simple_sends_the_prompt_as_a_system_message(ada: User, openai: OpenAIStandIn) -> None:
    """The answer is plain text."""
    response = ada.get("/simple-gpt-4o-mini-complete", params={"prompt": "be brief"})
    assert (response.status_code, response.text) == (200, ANSWER)
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert openai.completions()[0].body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": "be brief"}],
        "temperature": 0.7,
    }


@pytest.mark.parametrize("body", [HELLO, {"messages": HELLO}, {"messages": json.dumps(HELLO)}, {"messages": "hello"}])
def test_advanced_takes_messages_in_every_form(ada: User, openai: OpenAIStandIn, body: object) -> None:
    """Messages may be bare, wrapped, a string that holds the array, or one user message."""
    response = ada.post("/advanced-gpt-4o-mini-complete", body)
    assert (response.status_code, response.text) == (200, ANSWER)
    assert openai.completions()[0].body["messages"] == HELLO


def test_answers_are_trimmed(ada: User, openai: OpenAIStandIn) -> None:
    """White space is trimmed at both ends by every endpoint that answers in one piece."""
    openai.next("answer_spaces", times=4)
    text = "Low tide is at noon."
    assert ada.get("/simple-gpt-4o-mini-complete", params={"prompt": "x"}).text == text
    assert ada.post("/advanced-gpt-4o-mini-complete", HELLO).text == text
    for path in ("/v2/advanced-gpt-4o-mini-complete", "/gpt-4o"):
        assert ada.post(path, {"messages": HELLO}).json() == {"message": text}


@pytest.mark.parametrize(
    ("path", "model"), [("/v2/advanced-gpt-4o-mini-complete", "gpt-4o-mini"), ("/gpt-4o", "gpt-4o")]
)
def test_conversations_answer_json(ada: User, openai: OpenAIStandIn, path: str, model: str) -> None:
    """The body is `{"message": …}`, and the temperature is passed on."""
    response = ada.post(path, {"messages": HELLO, "temperature": 0.2})
    assert response.json() == {"message": ANSWER}
    assert response.headers["Content-Type"] == "application/json"
    assert (openai.completions()[0].model, openai.completions()[0].body["temperature"]) == (model, 0.2)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini"])
def test_stream_sends_data_lines(ada: User, openai: OpenAIStandIn, model: str) -> None:
    """Joined, the lines are the completion; there are no others."""
    response = ada.stream(model=model)
    assert response.headers["Content-Type"] == "application/json"
    lines = [json.loads(line) for line in response.content.splitlines()]
    assert all(list(line) == ["data"] for line in lines)
    assert "".join(line["data"] for line in lines) == ANSWER
    assert openai.completions()[0].model == model
    assert openai.completions()[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(("method", "path"), COUNTED)
def test_a_request_without_a_token_is_refused(broker: BrokerProcess, method: str, path: str) -> None:
    """The 401 has the contract's sentence, even if other parts are wrong."""
    response = requests.request(method, broker.url + path, timeout=10)
    assert error_of(response) == (401, "Authorization header is required")


@pytest.mark.parametrize("scheme", ["Basic abc", "Bearer", "Bearer ", "bearer x.y.z", "token"])
def test_a_header_that_carries_no_token_is_refused(broker: BrokerProcess, scheme: str) -> None:
    """The header has another scheme, or an empty token."""
    response = requests.get(broker.url + "/simple-gpt-4o-mini-complete", headers={"Authorization": scheme}, timeout=10)
    assert error_of(response) == (401, "Invalid or expired token")


def test_keys_of_the_project_are_no_tokens(broker: BrokerProcess, supabase: SupabaseStandIn) -> None:
    """A signed-out page sends the anon key. The service key is refused as well."""
    for key in (supabase.anon_key, supabase.service_key, "sb_publishable_x", "sb_secret_x"):
        response = requests.post(broker.url + "/gpt-4o", headers={"Authorization": f"Bearer {key}"}, timeout=10)
        assert error_of(response) == (401, "Invalid or expired token")


def test_an_expired_token_has_a_code_of_its_own(ada: User, supabase: SupabaseStandIn) -> None:
    """A page can refresh its session and ask again."""
    ada.token = supabase.token(expires_in=-60)
    response = ada.post("/gpt-4o", {"messages": HELLO})
    assert error_of(response) == (401, "Invalid or expired token")
    assert response.json()["code"] == "token_expired"


def test_a_prompt_is_required(ada: User) -> None:
    """The 400 has the contract's sentence."""
    assert error_of(ada.get("/simple-gpt-4o-mini-complete")) == (400, "Missing required 'prompt' query parameter")


@pytest.mark.parametrize("path", ["/advanced-gpt-4o-mini-complete", *CONVERSATIONS])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "Missing required 'messages' in body of request"),
        ("{}", "Missing required 'messages' in body of request"),
        ('{"messages": 5}', "'messages' must be an array"),
        ('{"messages": {}}', "'messages' must be an array"),
        ('{"messages": true}', "'messages' must be an array"),
        ('{"messages": [{"role": "user"}]}', "each 'message' object must have a 'role' and 'content' property"),
    ],
)
def test_messages_are_checked(ada: User, path: str, body: str, sentence: str) -> None:
    """The 400 has the contract's sentence, and the call is given back before the client can ask again."""
    response = ada.call("POST", path, data=body)
    assert error_of(response) == (400, sentence)
    assert remaining(response) == 50


@pytest.mark.parametrize("path", CONVERSATIONS)
@pytest.mark.parametrize("temperature", ["2", "-0.1", '"0.5"', "true", "NaN", "null"])
def test_the_temperature_is_checked(ada: User, path: str, temperature: str) -> None:
    """Only a number from 0 to 1 is valid."""
    body = f'{{"messages": "x", "model": "gpt-4o", "temperature": {temperature}}}'
    response = ada.call("POST", path, data=body)
    assert error_of(response) == (400, "'temperature' must be a number between [0, 1]")


@pytest.mark.parametrize("path", ["/advanced-gpt-4o-mini-complete", *CONVERSATIONS, "/v1/chat/completions"])
@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-the-account"}}]},
        {"role": "user", "content": {"type": "file", "file": {"file_id": "file-of-the-account"}}},
        {"role": "assistant", "content": "x", "audio": {"id": "audio_of_the_account"}},
    ],
)
def test_file_ids_are_refused(ada: User, openai: OpenAIStandIn, path: str, message: dict[str, object]) -> None:
    """Every endpoint refuses a content part that names a file by id."""
    response = ada.post(path, {"messages": [message], "model": "gpt-4o"})
    assert response.status_code == 400
    assert "messages[0]" in response.text
    assert openai.completions() == []


def test_stream_checks_the_model(ada: User) -> None:
    """Only the two public names are valid."""
    assert error_of(ada.stream(model="gpt-3")) == (400, "'model' must be one of gpt-4o,gpt-4o-mini")


def test_other_refusals_are_clear(ada: User) -> None:
    """404, 405, 413 and 415 have JSON of the same format."""
    assert error_of(ada.get("/nope")) == (404, "Endpoint not found")
    wrong_method = ada.get("/stream")
    assert error_of(wrong_method)[0] == 405
    assert "POST" in wrong_method.headers["Allow"]
    assert error_of(ada.call("POST", "/gpt-4o", data="x" * (9 * 1024 * 1024)))[0] == 413
    assert error_of(ada.call("POST", "/gpt-4o", data="not json"))[0] == 415


def test_a_head_request_spends_nothing(ada: User, openai: OpenAIStandIn) -> None:
    """Flask would answer it like GET."""
    assert ada.call("HEAD", "/simple-gpt-4o-mini-complete", params={"prompt": "x"}).status_code == 405
    assert openai.completions() == []


def test_nan_within_a_message_is_no_json(ada: User, openai: OpenAIStandIn) -> None:
    """Python reads it, but it is no valid JSON for OpenAI."""
    response = ada.call("POST", "/gpt-4o", data='{"messages": [{"role": "user", "content": NaN}]}')
    assert error_of(response)[0] == 415
    assert openai.completions() == []


@pytest.mark.parametrize(
    ("reply", "status", "asked"),
    [
        ("400_context_length_exceeded", 400, 1),
        ("401_masked_key", 502, 1),
        ("403_country", 502, 1),
        ("404_model_not_found", 502, 1),
        ("429_rate_limit", 503, 3),
        ("429_insufficient_quota", 502, 1),
        ("429_tokens_too_large", 400, 1),
        ("500_server_error", 502, 3),
        ("503_plain_text", 502, 3),
        ("garbage_json", 502, 1),
        ("cut_before_headers", 502, 3),
    ],
)
def test_openais_errors_become_the_contracts(
    ada: User, openai: OpenAIStandIn, reply: str, status: int, asked: int
) -> None:
    """Each has its status and number of requests, costs nothing and names nothing of the account."""
    # a connection that is cut within a second was closed while idle: the request is sent once more on a new one
    openai.next(reply, times=-1, seconds=1.1)
    response = ada.post("/gpt-4o", {"messages": HELLO})
    assert error_of(response)[0] == status
    assert len(openai.completions()) == asked
    assert remaining(response) == 50
    assert not {"sk-", "org-"} & set(response.text.split())
    assert ("Retry-After" in response.headers) is (status == 503)


def test_a_temporary_failure_is_retried(ada: User, openai: OpenAIStandIn) -> None:
    """After two 500s the client gets the answer, and it counts once."""
    openai.next("500_server_error", times=2)
    response = ada.post("/gpt-4o", {"messages": HELLO})
    assert response.json() == {"message": ANSWER}
    assert remaining(response) == 49


def test_health_is_open_to_all(broker: BrokerProcess) -> None:
    """The body is `OK`, as plain text."""
    response = requests.get(broker.url + "/health", timeout=5)
    assert (response.status_code, response.text) == (200, "OK")
    assert response.headers["Content-Type"].startswith("text/plain")


def test_ready_names_its_parts(broker: BrokerProcess) -> None:
    """It lists the shutdown dates. A worker whose last call failed is ready once it has reached OpenAI again."""
    bodies = []

    def is_ready() -> bool:
        bodies.append(requests.get(broker.url + "/ready", timeout=5).json())
        return bodies[-1]["ready"] is True

    within(15, is_ready)
    body = bodies[-1]
    assert set(body["parts"].values()) == {"ok"}
    assert body["shutdown_dates"] == {"gpt-4o": "2027-01-14", "gpt-4o-mini": "2027-01-14"}


@pytest.mark.parametrize(("method", "path"), [*COUNTED, ("GET", "/health"), ("GET", "/ready")])
def test_preflights_are_answered_without_a_token(broker: BrokerProcess, method: str, path: str) -> None:
    """Every header of the SDKs is allowed, and the browser caches the preflight."""
    asked = "authorization,content-type,apikey,x-client-info,x-stainless-os,x-stainless-retry-count"
    response = requests.options(
        broker.url + path,
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": asked,
        },
        timeout=5,
    )
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert method in response.headers["Access-Control-Allow-Methods"]
    assert set(asked.split(",")) <= set(response.headers["Access-Control-Allow-Headers"].split(", "))
    assert int(response.headers["Access-Control-Max-Age"]) > 0


def test_errors_can_be_read_by_a_browser(broker: BrokerProcess) -> None:
    """They carry CORS headers, and expose the fields that a page needs."""
    for path in ("/gpt-4o", "/nope"):
        response = requests.post(broker.url + path, headers={"Origin": "https://app.example"}, timeout=5)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        exposed = response.headers["Access-Control-Expose-Headers"]
        assert all(name in exposed for name in ("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"))


def test_every_authenticated_answer_has_the_rate_limit(ada: User) -> None:
    """The IETF's `RateLimit` header fields show it."""
    for response in (ada.post("/gpt-4o", {"messages": HELLO}), ada.post("/gpt-4o", {}), ada.stream()):
        assert response.headers["RateLimit-Policy"] == '"daily";q=50;w=86400'
        assert response.headers["RateLimit"].startswith('"daily";r=')
        response.close()
