"""Requests to Supabase Auth: bounds, and verdicts on tokens."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import responses

from broker.auth.supabase_client import MAX_ANSWER_BYTES, REFUSAL_SECONDS, SupabaseClient, SupabaseUnavailable
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.parsers import Secret

AUTH = "http://supabase.invalid/auth/v1"
ADA = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def supabase() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> SupabaseClient:
    return SupabaseClient(AUTH, Secret("sb_secret_planted"), 2.0)


def test_a_token_is_accepted_if_supabase_names_its_user(
    supabase: responses.RequestsMock, client: SupabaseClient
) -> None:
    """The request carries the service key as `apikey` and the user's token."""
    supabase.get(AUTH + "/user", json={"id": ADA})
    client.check_token("a.b.c", ADA)
    sent = supabase.calls[0].request.headers
    assert (sent["apikey"], sent["Authorization"]) == ("sb_secret_planted", "Bearer a.b.c")


@pytest.mark.parametrize("answer", [
    {"status": 403, "json": {"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT"}},
    {"status": 403, "json": {"code": "session_not_found", "message": "Session not found"}},
    {"status": 403, "body": "", "headers": {"x-sb-error-code": "user_banned"}},
    {"json": {"id": "somebody else"}}, {"json": {}},
])  # fmt: skip
def test_a_rejected_token_is_invalid(
    supabase: responses.RequestsMock, client: SupabaseClient, answer: dict[str, Any]
) -> None:
    """Also if Supabase names another user."""
    supabase.get(AUTH + "/user", **answer)
    with pytest.raises(TokenInvalid):
        client.check_token("a.b.c", ADA)


@pytest.mark.parametrize("answer", [
    {"status": 500, "json": {}}, {"status": 429, "json": {}}, {"status": 404, "body": "no such project"},
    {"status": 302, "headers": {"Location": "http://elsewhere.invalid/"}}, {"body": "<html>maintenance"},
    {"json": ["no user"]}, {"body": requests.ConnectionError("refused")}, {"body": requests.ReadTimeout("slow")},
])  # fmt: skip
def test_an_answer_without_a_verdict_makes_sign_in_unavailable(
    supabase: responses.RequestsMock, client: SupabaseClient, answer: dict[str, Any]
) -> None:
    """Never a 401, because the token may be valid."""
    supabase.get(AUTH + "/user", **answer)
    with pytest.raises(SignInUnavailable) as caught:
        client.check_token("a.b.c", ADA)
    assert caught.value.retry_after


REFUSALS = [
    ({"status": 401, "json": {"message": "Legacy API keys are disabled", "hint": "planted"}}, "renew the key"),
    ({"status": 401, "json": {"message": "Invalid API key", "hint": "planted"}}, "renew the key"),
    ({"status": 403, "body": "<html>planted"}, "firewalls"),
    ({"status": 403, "json": {"error_code": 1020, "error_name": "access_denied", "title": "planted"}}, "firewalls"),
    ({"status": 401, "json": {}}, "firewalls"),
    ({"status": 404, "body": "no such project"}, "check SUPABASE_URL"),
]


@pytest.mark.parametrize(("answer", "todo"), REFUSALS)
def test_a_refusal_of_a_gateway_is_no_verdict(
    supabase: responses.RequestsMock, client: SupabaseClient, answer: dict[str, Any], todo: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """One log line says what to do, without a word of the answer; a later verdict ends the state."""
    supabase.get(AUTH + "/user", **answer)
    for _ in range(3):
        with pytest.raises(SignInUnavailable):
            client.check_token("a.b.c", ADA)
    (record,) = caplog.records
    assert todo in record.why  # type: ignore[attr-defined]  # from `extra`
    assert todo in client.refusal
    assert not any(word in str(vars(record)) for word in ("planted", "a.b.c"))
    supabase.replace("GET", AUTH + "/user", json={"id": ADA})
    client.check_token("a.b.c", ADA)
    assert client.refusal == ""
    assert [record.message for record in caplog.records[1:]] == ["Supabase checks tokens again"]


def test_a_refusal_is_forgotten_without_traffic(
    supabase: responses.RequestsMock, client: SupabaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load balancer that sends no calls to an unready broker must not keep it unready."""
    supabase.get(AUTH + "/user", status=401, json={"message": "Invalid API key"})
    with pytest.raises(SignInUnavailable):
        client.check_token("a.b.c", ADA)
    assert client.refusal
    later = time.monotonic() + REFUSAL_SECONDS
    monkeypatch.setattr("broker.auth.supabase_client.time", SimpleNamespace(monotonic=lambda: later))
    assert client.refusal == ""


def test_cookies_are_not_kept(supabase: responses.RequestsMock, client: SupabaseClient) -> None:
    """One user's answer sets nothing for the next user's check."""
    supabase.get(AUTH + "/user", json={"id": ADA}, headers={"Set-Cookie": "__cf_bm=planted; path=/"})
    for _ in range(2):
        client.check_token("a.b.c", ADA)
    assert "Cookie" not in supabase.calls[1].request.headers


def test_the_size_of_an_answer_is_bounded(supabase: responses.RequestsMock, client: SupabaseClient) -> None:
    """A peer cannot fill the memory."""
    supabase.get(AUTH + "/user", body=b"[" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(SupabaseUnavailable, match="too large"):
        client.get("/user")


def test_the_time_out_is_for_the_whole_answer(
    supabase: responses.RequestsMock, client: SupabaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each read of it."""
    times = iter([0.0, 3.0])
    clock = SimpleNamespace(monotonic=lambda: next(times))  # only this module's clock
    monkeypatch.setattr("broker.auth.supabase_client.time", clock)
    supabase.get(AUTH + "/user", body=b"{}")
    with pytest.raises(SupabaseUnavailable, match="in time"):
        client.get("/user")
