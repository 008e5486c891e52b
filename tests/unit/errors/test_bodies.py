"""The two formats of an error: the contract's, and OpenAI's under /v1."""

import time
from typing import Any

import pytest
import responses
from flask.testing import FlaskClient

from broker.errors.base import BodyTooLarge, DailyLimitReached, Fault, ParameterRefused, SignInUnavailable, TokenExpired
from broker.errors.bodies import body_of
from broker.errors.limits import PromptTooLong, TooManyMessages
from broker.errors.openai import OpenAIOutOfQuota, RefusedByOpenAI
from tests.apps import OPENAI, bearer, make_client, token

V1 = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("fault", "kind", "param", "code"),
    [
        (TokenExpired(), "invalid_request_error", None, "token_expired"),
        (DailyLimitReached(), "rate_limit_error", None, "daily_limit_exceeded"),
        (ParameterRefused("n", "must be 1", "unsupported_value"), "invalid_request_error", "n", "unsupported_value"),
        (SignInUnavailable(), "service_unavailable_error", None, "sign_in_unavailable"),
        (OpenAIOutOfQuota(), "server_error", None, "insufficient_quota"),
        (Fault(), "server_error", None, "internal_error"),
        (RefusedByOpenAI("too long", details={"openai": {"code": "context_length_exceeded", "param": "messages"}}),
         "invalid_request_error", "messages", "context_length_exceeded"),
        (RefusedByOpenAI("what?", details={"openai": {"code": None, "param": None}}),
         "invalid_request_error", None, None),
    ],
)  # fmt: skip
def test_under_v1_an_error_has_openais_shape(fault: Fault, kind: str, param: str | None, code: str | None) -> None:
    """The error has four members; two may be null. OpenAI's own code and param are kept."""
    expected = {"message": fault.openai_sentence, "type": kind, "param": param, "code": code}
    assert body_of(fault, V1) == {"error": expected}
    assert body_of(fault, "/gpt-4o")["error"] == fault.sentence


def test_under_v1_the_sentence_names_the_limit() -> None:
    """JavaScript clients show nothing else of an error; the contract's sentences stay what they are."""
    daily = DailyLimitReached(details={"limit": 50, "resets_at": "2026-11-25T00:00:00+00:00"})
    faults: list[tuple[Fault, str]] = [
        (daily, "The daily limit of 50 calls is used up; it resets at 2026-11-25T00:00:00+00:00"),
        (PromptTooLong(details={"limit": 9}), "the limit is 9 characters"),
        (TooManyMessages(details={"limit": 9}), "the limit is 9 messages"),
        (BodyTooLarge(details={"limit": 9}), "the limit is 9 bytes"),
    ]
    for fault, words in faults:
        error: Any = body_of(fault, V1)["error"]
        assert words in error["message"]
        assert body_of(fault, "/gpt-4o")["error"] == fault.sentence


def test_a_401_under_v1_names_its_cause() -> None:
    """The sentence never says why a signature or claim failed. Other paths keep the contract's two sentences."""
    client, key = make_client(), "sk-proj-0123456789abcdef"
    cases: list[tuple[dict[str, str], str]] = [
        (bearer(exp=int(time.time()) - 3600), "expired"),
        ({"Authorization": f"Bearer {key}"}, "OpenAI API key"),
        ({"Authorization": token()}, "must be 'Bearer"),
        ({"apikey": "sb_publishable_x"}, "'apikey' header alone"),
        (bearer(aud="other"), "Invalid or expired token"),
        ({"Authorization": f"Bearer {token()}x"}, "Invalid or expired token"),
        ({}, "Authorization header is required"),
    ]
    for headers, words in cases:
        answer = client.post(V1, json={}, headers=headers)
        assert answer.status_code == 401
        assert words in answer.get_json()["error"]["message"]
        assert key not in answer.text
        old = client.post("/gpt-4o", json={}, headers=headers).get_json()["error"]
        assert old == ("Invalid or expired token" if "Authorization" in headers else "Authorization header is required")


@pytest.mark.parametrize(
    ("path", "words"),
    [("/chat/completions", "must end in /v1"), ("/v1/v1/chat/completions", "must end in /v1"),
     ("/v1//chat/completions", "must end in /v1"),
     ("/v1/chat/completions/", "must end in /v1"), ("/models", "must end in /v1"),
     ("/responses/resp_1", "must end in /v1"),
     ("/v1/embeddings", "/v1/embeddings is not offered here; there are /v1/chat/completions"),
     ("/embeddings", "/v1/embeddings is not offered"),
     ("/v1/images/generations", "/v1/images/generations is not offered"),
     ("/v1/audio/speech", "not offered"), ("/v1/moderations", "not offered"), ("/v1/files/file_1", "not offered"),
     ("/v1/completions", "not offered"), ("/v1/nothing", "Endpoint not found"), ("/v1", "Endpoint not found")],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_of_openais_is_explained(path: str, words: str, method: str) -> None:
    """The error has OpenAI's format, so that its SDKs show the sentence."""
    answer = make_client().open(path, method=method)
    assert answer.status_code == 404
    assert words in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("path", ["/nothing", "/v2/chat/completions", "/streams"])
def test_any_other_unknown_path_has_the_contracts_answer(path: str) -> None:
    """The sentence is `Endpoint not found`."""
    assert make_client().get(path).get_json()["error"] == "Endpoint not found"


def test_details_are_members_of_the_body() -> None:
    """A page can show when the limit resets."""
    fault = DailyLimitReached(details={"limit": 50, "resets_at": "2026-11-25T00:00:00+00:00"})
    error: Any = body_of(fault, "/v1/x")["error"]
    assert (error["limit"], error["resets_at"]) == (50, "2026-11-25T00:00:00+00:00")
    assert body_of(fault, "/stream")["limit"] == 50


@pytest.mark.parametrize(("path", "is_openais"), [("/v1", True), ("/v1/", True), ("/v1/x", True), ("/v11", False),
                                                  ("/chat/completions", True), ("//v1/x", True), ("/stream", False),
                                                  ("/v2/x", False), ("/", False)])  # fmt: skip
def test_the_path_decides_the_format(path: str, is_openais: bool) -> None:
    """The path decides even without an endpoint."""
    assert isinstance(body_of(Fault(), path)["error"], dict) is is_openais


@pytest.fixture
def client() -> FlaskClient:
    return make_client(MAX_BODY_BYTES="1000")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [("GET", "/v1/nothing", b"", 404), ("GET", V1, b"", 405), ("POST", "/v1/models", b"", 405),
     ("POST", V1, b"x" * 2000, 413), ("POST", V1, b"not json", 415), ("POST", V1, b"", 415), ("POST", V1, b"[]", 415),
     ("POST", V1, b"{}", 400), ("GET", "/v1/models/none", b"", 404)],
)  # fmt: skip
def test_every_refusal_under_v1_has_openais_format(
    client: FlaskClient, method: str, path: str, body: bytes, status: int
) -> None:
    """Errors of the server itself have the format too."""
    answer = client.open(path, method=method, data=body, headers=bearer())
    assert answer.status_code == status
    assert answer.json
    assert set(answer.json["error"]) - {"limit"} == {"message", "type", "param", "code"}
    assert answer.json["error"]["message"]


def seconds_to_midnight() -> float:
    return 86_400 - time.time() % 86_400


def test_guards_refuse_in_openais_format_under_v1() -> None:
    """The order is 401, then 429, then 400."""
    client = make_client(DAILY_LIMIT="0")
    stranger = client.post(V1, json={})
    assert (stranger.status_code, stranger.headers["WWW-Authenticate"]) == (401, "Bearer")
    refused = client.post(V1, json={}, headers=bearer())
    assert refused.status_code == 429
    for answer in (stranger, refused):
        assert answer.json
        assert answer.json["error"]["type"]
    assert refused.headers["x-should-retry"] == "false"
    assert ("Retry-After" in refused.headers) is (seconds_to_midnight() < 3600)
    assert 0 < int(client.post("/gpt-4o", json={}, headers=bearer()).headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/models", V1])
def test_a_blocked_user_gets_openais_format_under_v1(path: str) -> None:
    """A 403 is the SDKs' PermissionDeniedError."""
    blocked = "22222222-2222-4222-8222-222222222222"
    client = make_client(BLOCKED_IDS=f'["{blocked}"]')
    refused = client.open(path, method="POST" if path == V1 else "GET", headers=bearer(blocked))
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (403, "blocked")


@responses.activate
@pytest.mark.parametrize(
    ("status", "code", "headers", "once"),
    [(500, None, {}, False), (429, "insufficient_quota", {}, True), (401, "invalid_api_key", {}, True),
     (429, "rate_limit_exceeded", {"retry-after": "30"}, False),
     (429, "rate_limit_exceeded", {"retry-after": "61"}, True)],
)  # fmt: skip
def test_faults_that_no_retry_mends_stop_the_sdks(
    status: int, code: str | None, headers: dict[str, str], once: bool
) -> None:
    """The account's failures last, and a page cannot wait for minutes."""
    error = {"message": "x", "type": code, "param": None, "code": code}
    responses.post(OPENAI + "/chat/completions", status=status, json={"error": error}, headers=headers)
    answer = make_client().post(V1, json={"model": "gpt-4o", "messages": HELLO}, headers=bearer())
    assert answer.status_code in (502, 503)
    assert (answer.headers.get("x-should-retry") == "false") is once
