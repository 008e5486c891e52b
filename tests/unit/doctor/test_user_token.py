"""A user's token is compared with the settings and with this host's clock."""

import time

import jwt
import pytest

from broker.doctor import user_token
from broker.doctor.public_url import Unreachable
from broker.settings.settings import Settings
from tests.apps import REQUIRED

ACCOUNT = dict.fromkeys(user_token.SIGN_IN, "given")
SETTINGS = Settings.from_environ(REQUIRED)
KEY = "a key of at least thirty-two bytes"


def examined(monkeypatch: pytest.MonkeyPatch, **claims: object) -> dict[str, str]:
    """The verdicts and advice by subject for a token with these claims."""
    token = jwt.encode({"iss": SETTINGS.supabase_jwt_issuer, "iat": time.time(), **claims}, KEY, "HS256")
    monkeypatch.setattr(user_token, "sign_in", lambda *_: token)
    return {one.subject: one.verdict + one.todo for one in user_token.examine(SETTINGS, ACCOUNT)}


def test_a_good_token_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issuer and clock are fine."""
    assert set(examined(monkeypatch).values()) == {"fine"}


def test_another_issuer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both issuers are named."""
    found = examined(monkeypatch, iss="https://another.example")["a user's token has the expected issuer"]
    assert found.startswith("WRONG")
    assert "'https://another.example'" in found
    assert repr(SETTINGS.supabase_jwt_issuer) in found


@pytest.mark.parametrize(("offset", "word"), [(-4000, "ahead"), (4000, "behind")])
def test_a_clock_that_is_off_is_reported(offset: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's time is Supabase's; this works for hosts that send no Date."""
    found = examined(monkeypatch, iat=time.time() + offset)["clock, compared with a user's token"]
    assert f"clock is 4000 s {word}" in found


def test_without_an_account_nothing_is_checked() -> None:
    """The finding says which variables are missing."""
    (found,) = user_token.examine(SETTINGS, {})
    assert found.verdict == "not checked"
    assert "SUPABASE_PASSWORD" in found.todo


def test_a_sign_in_that_fails_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is named."""

    def fail(*_: object) -> str:
        raise Unreachable("signing in to Supabase failed (KeyError)")

    monkeypatch.setattr(user_token, "sign_in", fail)
    (found,) = user_token.examine(SETTINGS, ACCOUNT)
    assert found.verdict == "WRONG"
    assert "KeyError" in found.todo


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "a.W10.c"])
def test_a_key_without_claims_has_none(text: str) -> None:
    """Opaque keys and JSON that is no object give no claims."""
    assert user_token.claims_of(text) == {}
