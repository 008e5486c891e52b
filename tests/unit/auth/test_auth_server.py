"""Asking Supabase about a token, and what its answers mean; with it, how it is asked anything."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import responses

from broker.auth.auth_server import AuthServer
from broker.auth.supabase_client import MAX_ANSWER_BYTES, Supabase, SupabaseAway
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.parsers import Secret

ISSUER = "http://supabase.invalid/auth/v1"
ADA = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def supabase() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def auth_server() -> AuthServer:
    return AuthServer(ISSUER, Secret("sb_secret_planted"), Supabase(2.0))


def test_a_yes_is_a_user_with_the_tokens_id(supabase: responses.RequestsMock, auth_server: AuthServer) -> None:
    """Asked with the service key as `apikey` and the user's token."""
    supabase.get(ISSUER + "/user", json={"id": ADA})
    auth_server.confirm("a.b.c", ADA)
    sent = supabase.calls[0].request.headers
    assert (sent["apikey"], sent["Authorization"]) == ("sb_secret_planted", "Bearer a.b.c")


@pytest.mark.parametrize("answer", [
    {"status": 401, "json": {}}, {"status": 403, "json": {"error_code": "bad_jwt"}}, {"json": {"id": "somebody else"}},
    {"json": {}},
])  # fmt: skip
def test_a_no_is_our_401(supabase: responses.RequestsMock, auth_server: AuthServer, answer: dict[str, Any]) -> None:
    """Also where Supabase knows the token as another user's."""
    supabase.get(ISSUER + "/user", **answer)
    with pytest.raises(TokenInvalid):
        auth_server.confirm("a.b.c", ADA)


@pytest.mark.parametrize("answer", [
    {"status": 500, "json": {}}, {"status": 429, "json": {}}, {"status": 404, "body": "no such project"},
    {"status": 302, "headers": {"Location": "http://elsewhere.invalid/"}}, {"body": "<html>maintenance"},
    {"json": ["no user"]}, {"body": requests.ConnectionError("refused")}, {"body": requests.ReadTimeout("slow")},
])  # fmt: skip
def test_no_clear_answer_is_our_503(
    supabase: responses.RequestsMock, auth_server: AuthServer, answer: dict[str, Any]
) -> None:
    """Never a 401: the token may be good."""
    supabase.get(ISSUER + "/user", **answer)
    with pytest.raises(SignInUnavailable) as caught:
        auth_server.confirm("a.b.c", ADA)
    assert caught.value.retry_after


def test_an_answer_without_end_is_not_read(supabase: responses.RequestsMock) -> None:
    """A bound on memory, whoever answers."""
    supabase.get(ISSUER + "/user", body=b"[" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(SupabaseAway, match="without end"):
        Supabase(2.0).get(ISSUER + "/user")


def test_an_answer_that_drips_is_not_awaited(supabase: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out is for the whole answer, not for each piece of it."""
    times = iter([0.0, 3.0])
    clock = SimpleNamespace(monotonic=lambda: next(times))  # not the clock of every thread
    monkeypatch.setattr("broker.auth.supabase_client.time", clock)
    supabase.get(ISSUER + "/user", body=b"{}")
    with pytest.raises(SupabaseAway, match="drips"):
        Supabase(2.0).get(ISSUER + "/user")
