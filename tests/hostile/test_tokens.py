"""Forged tokens against the pure functions, and against the whole app."""

import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from broker.auth import tokens
from broker.caller import Caller
from broker.errors.base import Fault, TokenInvalid
from deploy.local.signing import SECRET, KeyRing
from tests.apps import REQUIRED, make_app
from tests.hostile.tokens import ADA, Project, forge

COST = 0.05  # seconds of processor time


def ring_of_all() -> KeyRing:
    """A project that has rotated through every algorithm and trusts all of its keys."""
    ring = KeyRing("HS256")
    for alg in ("RS256", "EdDSA", "ES256"):
        ring.rotate(alg)
    return ring


PROJECT = Project(ring_of_all(), REQUIRED["SUPABASE_URL"] + "/auth/v1", int(time.time()))
FORGED = forge(PROJECT)
KEYS = [tokens.secret_key(SECRET), *tokens.key_set(PROJECT.ring.jwks()).values()]
names = pytest.mark.parametrize("name", FORGED)


def verify(text: str) -> Caller:
    """Return the token's caller if any of the project's keys verifies it. No key may verify a forged token."""
    token = tokens.read_token(text)
    caller = tokens.check_claims(token, tokens.Expected(PROJECT.issuer), time.time())
    for key in KEYS:
        try:
            tokens.check_signature(token, key)
        except TokenInvalid:
            continue
        return caller
    raise TokenInvalid


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """An app whose unknown `kid`s cause a fetch each, so that each gets its verdict at once."""
    app = make_app(SUPABASE_JWT_SECRET=SECRET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("broker.auth.signing_keys.COOL_DOWN", 0.0)
        answer = (200, PROJECT.ring.jwks())
        patch.setattr("broker.auth.supabase_client.SupabaseClient.get", lambda *_: answer)
        yield app.test_client()


def ask(client: FlaskClient, authorization: str) -> tuple[int, str]:
    # through the environ, because a header cannot hold every value of the corpus
    response = client.post("/gpt-4o", data=b"{}", environ_overrides={"HTTP_AUTHORIZATION": authorization})
    return response.status_code, response.get_json()["code"]


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_genuine_token_is_accepted(client: FlaskClient, alg: str) -> None:
    """The control passes the guard and fails only for its empty body."""
    assert verify(PROJECT.good(alg)).id == ADA
    assert ask(client, "Bearer " + PROJECT.good(alg)) == (400, "messages_required")
    assert ask(client, "Bearer " + PROJECT.shared()) == (400, "messages_required")


@names
def test_the_rules_refuse_a_forged_token(name: str) -> None:
    """The result is a caller's fault at little cost, not an internal error."""
    started = time.process_time()
    with pytest.raises(TokenInvalid):
        verify(FORGED[name])
    assert time.process_time() - started < COST


@names
def test_the_app_refuses_a_forged_token(client: FlaskClient, name: str) -> None:
    """The status is 401. Only an expired token gets the code that asks for a session refresh."""
    status, code = ask(client, "Bearer " + FORGED[name])
    is_expired = name.startswith("expired") or name in {"exp is -1", "exp is 0", f"exp is {PROJECT.now - 11}"}
    assert (status, code) == (401, "token_expired" if is_expired else "invalid_token")


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "", "Bearer", "Bearer Bearer ", "Bearer,", "Bearer: ", "JWT "])
def test_a_genuine_token_with_another_scheme_is_refused(client: FlaskClient, scheme: str) -> None:
    """Only `Bearer` and a space are accepted."""
    assert ask(client, scheme + PROJECT.good()) == (401, "invalid_token")


def test_a_fault_reveals_nothing_of_the_token() -> None:
    """The sentence is the contract's for every token."""
    for text in FORGED.values():
        with pytest.raises(Fault) as caught:
            verify(text)
        assert str(caught.value) == "Invalid or expired token"
        assert caught.value.details == {}
