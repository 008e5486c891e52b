"""Hostile tokens against the pure functions, and against the whole app."""

import time

import pytest
from flask.testing import FlaskClient

from broker.auth import tokens
from broker.caller import Caller
from broker.errors.base import Fault, TokenInvalid
from broker.web.services import EXTENSION
from deploy.local.signing import SECRET, KeyRing
from tests.apps import REQUIRED, make_app
from tests.hostile.tokens import ADA, Project, forge

COST = 0.05  # seconds of processor time


def ring_of_all() -> KeyRing:
    """A project that has signed with every algorithm, one after the other, and trusts them all."""
    ring = KeyRing("HS256")
    for alg in ("RS256", "EdDSA", "ES256"):
        ring.rotate(alg)
    return ring


PROJECT = Project(ring_of_all(), REQUIRED["SUPABASE_URL"] + "/auth/v1", int(time.time()))
FORGED = forge(PROJECT)
KEYS = [tokens.secret_key(SECRET), *tokens.key_set(PROJECT.ring.jwks()).values()]
names = pytest.mark.parametrize("name", FORGED)


def judge(text: str) -> Caller:
    """Who the token is by any of the project's keys: whichever one is looked up, none may believe a forged one."""
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
def client() -> FlaskClient:
    app = make_app(SUPABASE_JWT_SECRET=SECRET)
    keys = app.extensions[EXTENSION].keys
    keys._keys, keys._is_up, keys._cool_until = tokens.key_set(PROJECT.ring.jwks()), True, float("inf")
    return app.test_client()


def ask(client: FlaskClient, authorization: str) -> tuple[int, str]:
    # the environ, because a header cannot hold all that is in the corpus; a server would give it as Latin-1
    response = client.post("/gpt-4o", data=b"{}", environ_overrides={"HTTP_AUTHORIZATION": authorization})
    return response.status_code, response.get_json()["code"]


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_a_good_token_is_believed(client: FlaskClient, alg: str) -> None:
    """What all the forged ones are held against: it gets past the gate, to its empty body."""
    assert judge(PROJECT.good(alg)).id == ADA
    assert ask(client, "Bearer " + PROJECT.good(alg)) == (400, "messages_required")
    assert ask(client, "Bearer " + PROJECT.shared()) == (400, "messages_required")


@names
def test_the_rules_refuse_a_forged_token(name: str) -> None:
    """With a fault of the caller's, not with an accident, and at little cost."""
    started = time.process_time()
    with pytest.raises(TokenInvalid):
        judge(FORGED[name])
    assert time.process_time() - started < COST


@names
def test_the_app_refuses_a_forged_token(client: FlaskClient, name: str) -> None:
    """401; a page is told to refresh its session only where a token's time is over."""
    status, code = ask(client, "Bearer " + FORGED[name])
    is_over = name.startswith("expired") or name in {"exp is -1", "exp is 0", f"exp is {PROJECT.now - 11}"}
    assert (status, code) == (401, "token_expired" if is_over else "invalid_token")


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "", "Bearer", "Bearer Bearer ", "Bearer,", "Bearer: ", "JWT "])
def test_a_good_token_with_another_scheme_is_refused(client: FlaskClient, scheme: str) -> None:
    """Nothing but `Bearer` and a space."""
    assert ask(client, scheme + PROJECT.good()) == (401, "invalid_token")


def test_no_fault_of_a_token_tells_of_it() -> None:
    """The sentence is the contract's, whatever was in the token."""
    for text in FORGED.values():
        with pytest.raises(Fault) as caught:
            judge(text)
        assert str(caught.value) == "Invalid or expired token"
        assert caught.value.details == {}
