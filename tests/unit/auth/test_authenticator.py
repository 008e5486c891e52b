"""From a header to a caller: remembered within bounds, and never longer than is right."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.auth.authenticator import CONFIRMATION, SignIn
from broker.auth.questions import IN_A_ROW
from broker.auth.remote_check import Confirmations
from broker.auth.tokens import LEEWAY, Key, key_set
from broker.caller import Caller
from broker.errors.base import AuthorizationMissing, SignInUnavailable, TokenExpired, TokenInvalid
from broker.errors.limits import AnonymousRefused, CallerBlocked, TooManyBadTokens
from broker.settings.settings import Settings
from deploy.local.signing import KeyRing
from tests.apps import REQUIRED, SECRET

NOW = 1_800_000_000
ADA = "11111111-1111-4111-8111-111111111111"


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.time = float(NOW)

    def __call__(self) -> float:
        return self.time


class FakeKeys:
    """The published keys of a ring."""

    def __init__(self) -> None:
        self.ring = KeyRing("ES256")
        self.asked = 0

    def find(self, kid: str | None) -> Key:
        self.asked += 1
        try:
            return key_set(self.ring.jwks())[kid or ""]
        except KeyError:
            raise TokenInvalid from None

    def knows(self, kid: str) -> bool:
        return kid in key_set(self.ring.jwks())


class FakeAuthServer:
    """Says yes, or raises what it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fault: Exception | None = None

    def confirm(self, token: str, caller_id: str) -> None:
        self.asked.append(caller_id)
        if self.fault:
            raise self.fault


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def auth_server() -> FakeAuthServer:
    return FakeAuthServer()


def make(keys: FakeKeys, auth_server: FakeAuthServer, clock: Clock, **environ: str) -> SignIn:
    settings = Settings.from_environ(REQUIRED | environ)
    return SignIn(settings, keys, Confirmations(auth_server), clock)  # type: ignore[arg-type]


@pytest.fixture
def sign_in(keys: FakeKeys, auth_server: FakeAuthServer, clock: Clock) -> SignIn:
    """With the project's secret."""
    return make(keys, auth_server, clock)


@pytest.fixture
def asking(keys: FakeKeys, auth_server: FakeAuthServer, clock: Clock) -> SignIn:
    """Without it: Supabase is asked."""
    return make(keys, auth_server, clock, SUPABASE_JWT_SECRET="")


def claims(**changes: Any) -> dict[str, Any]:
    issuer = REQUIRED["SUPABASE_URL"] + "/auth/v1"
    return {"iss": issuer, "aud": "authenticated", "role": "authenticated", "sub": ADA, "exp": NOW + 3600} | changes


def shared(**changes: Any) -> str:
    return "Bearer " + KeyRing("HS256", SECRET).sign(claims(**changes))


def test_the_three_ways_to_a_caller(
    sign_in: SignIn, asking: SignIn, keys: FakeKeys, auth_server: FakeAuthServer
) -> None:
    """By the secret, by a published key, by Supabase's word: each asks only whom it must."""
    assert sign_in.caller(shared()) == Caller(ADA, NOW + 3600)
    assert (keys.asked, auth_server.asked) == (0, [])

    assert sign_in.caller("Bearer " + keys.ring.sign(claims())).id == ADA
    assert (keys.asked, auth_server.asked) == (1, [])

    assert asking.caller(shared()).id == ADA
    assert (keys.asked, auth_server.asked) == (1, [ADA])


def test_a_missing_header_is_told_from_a_wrong_one(sign_in: SignIn) -> None:
    """Each has its own sentence in the contract."""
    for header in (None, ""):
        with pytest.raises(AuthorizationMissing):
            sign_in.caller(header)
    for header in ("Basic YTpi", "Bearer", "Bearer ", shared().removeprefix("Bearer "), "Bearer \udcff.x.y"):
        with pytest.raises(TokenInvalid):
            sign_in.caller(header)


def test_the_scheme_may_be_written_in_any_case(sign_in: SignIn) -> None:
    """RFC 9110, 11.1."""
    assert sign_in.caller(shared().replace("Bearer", "bEARER  ")).id == ADA


def test_a_verified_token_is_not_verified_again(sign_in: SignIn, keys: FakeKeys) -> None:
    """A signature costs more than all the rest of a request."""
    header = "Bearer " + keys.ring.sign(claims())
    for _ in range(3):
        sign_in.caller(header)
    assert keys.asked == 1


def test_a_token_is_remembered_no_longer_than_it_lives(sign_in: SignIn, clock: Clock) -> None:
    """`exp` with its 10 s of forgiven skew, to the second."""
    header = shared(exp=NOW + 100)
    clock.time = NOW + 100 + LEEWAY - 0.5
    assert sign_in.caller(header).id == ADA
    clock.time = NOW + 100 + LEEWAY
    with pytest.raises(TokenExpired):
        sign_in.caller(header)


def test_supabases_yes_is_taken_for_a_minute(asking: SignIn, auth_server: FakeAuthServer, clock: Clock) -> None:
    """And asked for again then: a session may have ended meanwhile."""
    header = shared()
    asking.caller(header)
    clock.time += CONFIRMATION - 1
    asking.caller(header)
    assert len(auth_server.asked) == 1
    clock.time += 1
    auth_server.fault = TokenInvalid()
    with pytest.raises(TokenInvalid):
        asking.caller(header)


def test_supabases_yes_is_never_taken_past_exp(asking: SignIn, auth_server: FakeAuthServer, clock: Clock) -> None:
    """Though the minute is not over: within the forgiven skew Supabase is asked each time."""
    header = shared(exp=NOW + 5)
    asking.caller(header)
    clock.time += 5
    asking.caller(header)
    asking.caller(header)
    assert len(auth_server.asked) == 3
    clock.time += LEEWAY
    with pytest.raises(TokenExpired):
        asking.caller(header)


def test_that_supabase_could_not_be_asked_is_not_remembered(asking: SignIn, auth_server: FakeAuthServer) -> None:
    """The next call asks again."""
    header = shared()
    auth_server.fault = SignInUnavailable()
    with pytest.raises(SignInUnavailable):
        asking.caller(header)
    auth_server.fault = None
    assert asking.caller(header).id == ADA


def test_supabases_no_is_taken_for_a_minute(asking: SignIn, auth_server: FakeAuthServer, clock: Clock) -> None:
    """A page that keeps calling with a bad token causes one question a minute."""
    header = shared()
    auth_server.fault = TokenInvalid()
    for _ in range(50):
        with pytest.raises(TokenInvalid):
            asking.caller(header)
    assert len(auth_server.asked) == 1
    auth_server.fault = None
    clock.time += CONFIRMATION + 1
    assert asking.caller(header).id == ADA


def test_new_bad_tokens_from_one_address_cause_no_questions_without_end(
    asking: SignIn, auth_server: FakeAuthServer
) -> None:
    """Then only what is known already is judged there; elsewhere all goes on."""
    known = shared(sid=0)
    asking.caller(known, lambda: "192.0.2.1")
    auth_server.fault = TokenInvalid()
    for number in range(IN_A_ROW):
        with pytest.raises(TokenInvalid):
            asking.caller(shared(sid=number + 1), lambda: "192.0.2.1")
    auth_server.fault = None
    asked = len(auth_server.asked)
    for number in range(20):
        with pytest.raises(TooManyBadTokens) as raised:
            asking.caller(shared(sid=1000 + number), lambda: "192.0.2.1")
        assert 0 < (raised.value.retry_after or 0) <= 1
    assert asking.caller(known, lambda: "192.0.2.1").id == ADA
    assert len(auth_server.asked) == asked
    assert asking.caller(shared(sid=2000), lambda: "192.0.2.2").id == ADA


def test_a_bad_signature_is_looked_at_once(sign_in: SignIn, keys: FakeKeys) -> None:
    """Sent again and again, it costs a look into a table."""
    header = "Bearer " + KeyRing("ES256").sign(claims())
    genuine = keys.ring.in_use
    assert genuine
    forged = KeyRing("ES256")
    assert forged.in_use
    forged.in_use.kid = genuine.kid
    header = "Bearer " + forged.sign(claims())
    for _ in range(5):
        with pytest.raises(TokenInvalid):
            sign_in.caller(header)
    assert keys.asked == 1


def test_a_blocked_user_is_refused_at_once(keys: FakeKeys, auth_server: FakeAuthServer, clock: Clock) -> None:
    """However good the token, and whatever list the id is on besides."""
    sign_in = make(keys, auth_server, clock, BLOCKED_IDS=f'["{ADA}"]', ID_WHITE_LIST=f'["{ADA}"]')
    for _ in range(2):
        with pytest.raises(CallerBlocked) as raised:
            sign_in.caller(shared())
        assert raised.value.status == 403


@pytest.mark.parametrize("claim", [True, "true", 1, None, {}])
def test_anonymous_users_are_refused_unless_they_have_a_limit(
    keys: FakeKeys, auth_server: FakeAuthServer, clock: Clock, claim: object
) -> None:
    """Anything but a plain `false` says that a user is anonymous; one on the white list is welcome."""
    header = shared(is_anonymous=claim)
    with pytest.raises(AnonymousRefused):
        make(keys, auth_server, clock).caller(header)
    for settings in ({"ANONYMOUS_DAILY_LIMIT": "3"}, {"ID_WHITE_LIST": f'["{ADA}"]'}):
        assert make(keys, auth_server, clock, **settings).caller(header).is_anonymous
    assert not make(keys, auth_server, clock).caller(shared(is_anonymous=False)).is_anonymous


def test_nobody_is_asked_about_a_token_that_is_wrong_already(asking: SignIn, auth_server: FakeAuthServer) -> None:
    """Its claims are read first: strangers cannot make the broker call Supabase."""
    for changes in ({"exp": NOW - 60}, {"iss": "https://other/auth/v1"}, {"aud": "anon"}, {"role": "anon"}):
        with pytest.raises(TokenInvalid):
            asking.caller(shared(**changes))
    assert auth_server.asked == []


def test_a_token_of_a_revoked_key_is_forgotten(sign_in: SignIn, keys: FakeKeys) -> None:
    """Once the project publishes the key no more, what it signed is worth nothing, remembered or not."""
    header = "Bearer " + keys.ring.sign(claims())
    sign_in.caller(header)
    keys.ring.rotate()
    assert sign_in.caller(header).id == ADA
    keys.ring.revoke_previous()
    with pytest.raises(TokenInvalid):
        sign_in.caller(header)


def test_memory_is_bounded(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first."""
    monkeypatch.setattr("broker.auth.authenticator.REMEMBERED", 3)
    for number in range(5):
        sign_in.caller(shared(session_id=str(number)))
    assert len(sign_in._remembered) == 3


def test_a_judgement_made_meanwhile_holds(asking: SignIn, auth_server: FakeAuthServer) -> None:
    """Two calls begin to be judged, one after the other: the second is not asked about."""
    header = shared()
    judgements: list[Callable[[], None]] = []
    for _ in range(2):
        asking.caller(header, apart=judgements.append)
    for judge in judgements:
        judge()
    assert len(auth_server.asked) == 1


def test_bad_tokens_are_forgotten_in_time(sign_in: SignIn, clock: Clock) -> None:
    """A trickle of ever new ones takes no more memory than its last minute."""
    for number in range(200):
        with pytest.raises(TokenInvalid):
            sign_in.caller("Bearer " + KeyRing("HS256").sign(claims() | {"session_id": str(number)}))
        clock.time += 6
    assert len(sign_in._refused) == CONFIRMATION / 6


def test_no_token_is_kept_in_memory(sign_in: SignIn) -> None:
    """Only what it hashes to."""
    header = shared()
    sign_in.caller(header)
    assert header.removeprefix("Bearer ") not in repr(sign_in._remembered)
