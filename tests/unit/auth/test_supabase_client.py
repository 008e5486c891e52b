"""Requests to Supabase Auth: bounds, and verdicts on tokens."""

import gzip
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import requests
import responses
from gevent import socket as gevent_socket

from broker.auth.supabase_client import MAX_ANSWER_BYTES, REFUSAL_SECONDS, SupabaseClient, SupabaseUnavailable
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.settings.settings import Settings
from deploy.local.authority import Authority
from tests.apps import REQUIRED
from tests.network_path import NetworkPath
from tests.servers import ScriptedServer

AUTH = "http://supabase.invalid/auth/v1"
ADA = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def supabase() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client() -> SupabaseClient:
    return client_with()


def client_with(**environ: str) -> SupabaseClient:
    return SupabaseClient(Settings.from_environ(REQUIRED | environ))


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
    {"json": {"id": "somebody else"}},
])  # fmt: skip
def test_a_rejected_token_is_invalid(
    supabase: responses.RequestsMock, client: SupabaseClient, answer: dict[str, Any]
) -> None:
    """The token is invalid too if Supabase names another user."""
    supabase.get(AUTH + "/user", **answer)
    with pytest.raises(TokenInvalid):
        client.check_token("a.b.c", ADA)


@pytest.mark.parametrize("answer", [
    {"status": 500, "json": {}}, {"status": 429, "json": {}}, {"status": 404, "body": "no such project"},
    {"status": 302, "headers": {"Location": "http://elsewhere.invalid/"}}, {"body": "<html>maintenance"},
    {"json": ["no user"]}, {"json": {}}, {"json": {"message": "maintenance"}}, {"json": {"id": None}},
    {"body": requests.ConnectionError("refused")}, {"body": requests.ReadTimeout("slow")},
])  # fmt: skip
def test_an_answer_without_a_verdict_makes_sign_in_unavailable(
    supabase: responses.RequestsMock, client: SupabaseClient, answer: dict[str, Any]
) -> None:
    """The user never gets a 401 then, because the token may be valid."""
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
    """One log line has the advice and quotes nothing of the answer; a later verdict ends the state."""
    supabase.get(AUTH + "/user", **answer)
    for _ in range(3):
        with pytest.raises(SignInUnavailable):
            client.check_token("a.b.c", ADA)
    (record,) = caplog.records
    assert todo in vars(record)["reason"]
    assert (vars(record)["kind"], vars(record)["host"]) == ("status", "supabase.invalid")
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


USER = b'{"id": "%s"}' % ADA.encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIMIT = 0.4  # seconds
SLACK = 0.5  # seconds, on a busy machine; every fault below lasts far longer


def answer(body: bytes = USER, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture
def server(authority: Authority) -> Iterator[ScriptedServer]:
    """Supabase over TLS."""
    made = ScriptedServer([answer()] * 3, authority.server_context())
    yield made
    made.close()


def test_the_time_out_is_for_the_whole_answer() -> None:
    """The limit covers all reads of an answer together."""
    trickle = ScriptedServer([HEAD + b"Content-Length: 1000\r\n\r\n"] + [b"x"] * 100)
    path = NetworkPath(trickle.port)
    path.bytes_per_second = 60.0
    client = client_with(SUPABASE_URL=f"http://127.0.0.1:{path.port}", SUPABASE_TIMEOUT=str(LIMIT))
    began = time.monotonic()
    with pytest.raises(SupabaseUnavailable) as caught:
        client.get("/user")
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < LIMIT + SLACK
    path.close()
    trickle.close()


def test_a_slow_name_look_up_is_within_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault names the cause."""
    monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_: gevent.sleep(5))
    failures: list[str] = []
    environ = {"SUPABASE_URL": "https://slow.supabase.test", "SUPABASE_TIMEOUT": str(LIMIT)}
    client = SupabaseClient(Settings.from_environ(REQUIRED | environ), failures.append)
    began = time.monotonic()
    with pytest.raises(SupabaseUnavailable, match="dns: the name look-up timed out"):
        client.get("/user")
    assert time.monotonic() - began < LIMIT + SLACK
    assert failures == ["dns"]


@pytest.mark.parametrize(("url", "kind"), [
    ("https://supabase.invalid", "dns"), ("http://127.0.0.1:1", "refused"), ("https://127.0.0.1:{plain}", "tls"),
    ("https://127.0.0.1:{tls}", "certificate"), ("http://127.0.0.1:{cut}", "cut"),
    ("http://127.0.0.1:{silent}", "timeout"), ("http://127.0.0.1:{plain}", "answer"),
    ("http://127.0.0.1:{failing}", "status"),
])  # fmt: skip
def test_a_failure_has_its_kind(server: ScriptedServer, url: str, kind: str) -> None:
    """The exception and the metric have it, with the error's own words."""
    plain, cut, silent = ScriptedServer([b"no HTTP"]), ScriptedServer([None]), ScriptedServer([b""])
    plain.speaks_first = True
    failing = ScriptedServer([answer(b"{}", b"HTTP/1.1 540 Project paused\r\n")])
    ports = {"plain": plain.port, "tls": server.port, "cut": cut.port, "silent": silent.port, "failing": failing.port}
    failures: list[str] = []
    environ = {"SUPABASE_URL": url.format(**ports), "SUPABASE_TIMEOUT": "1"}
    with pytest.raises(SupabaseUnavailable) as caught:
        SupabaseClient(Settings.from_environ(REQUIRED | environ), failures.append).get("/user")
    assert (caught.value.kind, failures) == (kind, [kind])
    assert caught.value.reason
    for one in (plain, cut, silent, failing):
        one.close()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_operators_authorities_are_trusted(server: ScriptedServer, authority: Authority, variable: str) -> None:
    """The rule is that of OpenAI's connections. A connection is reused."""
    client = client_with(SUPABASE_URL=f"https://localhost:{server.port}", **{variable: authority.file})
    assert client.get("/user") == (200, {"id": ADA})
    assert client.get("/user") == (200, {"id": ADA})
    assert server.connections == 1
    client.close()


@pytest.mark.parametrize("no_proxy", ["", "localhost"])
def test_the_operators_proxy_is_used(server: ScriptedServer, authority: Authority, no_proxy: str) -> None:
    """A host in NO_PROXY is reached directly."""
    proxy = NetworkPath(0, is_proxy=True)
    client = client_with(
        SUPABASE_URL=f"https://localhost:{server.port}", SSL_CERT_FILE=authority.file, NO_PROXY=no_proxy,
        HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
    )  # fmt: skip
    assert client.get("/user") == (200, {"id": ADA})
    assert len(proxy.connects) == (0 if no_proxy else 1)
    client.close()
    proxy.close()


def test_an_answer_that_is_compressed_unasked_is_read() -> None:
    """Some proxies compress whatever the client asked for."""
    server = ScriptedServer([answer(gzip.compress(USER), HEAD + b"Content-Encoding: gzip\r\n")])
    client = client_with(SUPABASE_URL=f"http://127.0.0.1:{server.port}")
    assert client.get("/user") == (200, {"id": ADA})
    client.close()
    server.close()
