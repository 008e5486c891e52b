"""Authentication of a request's header. The cache is bounded and never outlives the token."""

from collections.abc import Callable
from typing import Any

import pytest

from broker.auth.authenticator import CACHE_SECONDS, Authenticator
from broker.auth.remote_check import BURST, RemoteCheck
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
    """Unix time that a test sets."""

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


class FakeSupabase:
    """Accepts every token, or raises `fault`."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.fault: Exception | None = None

    def check_token(self, token: str, caller_id: str) -> None:
        self.checked.append(caller_id)
        if self.fault:
            raise self.fault


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def supabase() -> FakeSupabase:
    return FakeSupabase()


def make(keys: FakeKeys, supabase: FakeSupabase, clock: Clock, **environ: str) -> Authenticator:
    settings = Settings.from_environ(REQUIRED | environ)
    return Authenticator(settings, keys, RemoteCheck(supabase), clock)  # type: ignore[arg-type]


@pytest.fixture
def authenticator(keys: FakeKeys, supabase: FakeSupabase, clock: Clock) -> Authenticator:
    """An authenticator with the project's secret."""
    return make(keys, supabase, clock)


@pytest.fixture
def remote(keys: FakeKeys, supabase: FakeSupabase, clock: Clock) -> Authenticator:
    """An authenticator without the secret: Supabase checks each token."""
    return make(keys, supabase, clock, SUPABASE_JWT_SECRET="")


def claims(**changes: Any) -> dict[str, Any]:
    issuer = REQUIRED["SUPABASE_URL"] + "/auth/v1"
    return {"iss": issuer, "aud": "authenticated", "role": "authenticated", "sub": ADA, "exp": NOW + 3600} | changes


def shared(**changes: Any) -> str:
    return "Bearer " + KeyRing("HS256", SECRET).sign(claims(**changes))


def test_a_token_is_checked_in_one_of_three_ways(
    authenticator: Authenticator, remote: Authenticator, keys: FakeKeys, supabase: FakeSupabase
) -> None:
    """The secret, a published key or Supabase checks it; each way uses only what it needs."""
    assert authenticator.authenticate(shared()) == Caller(ADA, NOW + 3600)
    assert (keys.asked, supabase.checked) == (0, [])

    assert authenticator.authenticate("Bearer " + keys.ring.sign(claims())).id == ADA
    assert (keys.asked, supabase.checked) == (1, [])

    assert remote.authenticate(shared()).id == ADA
    assert (keys.asked, supabase.checked) == (1, [ADA])


def test_a_missing_header_is_distinct_from_a_wrong_one(authenticator: Authenticator) -> None:
    """Each has its own sentence in the contract."""
    for header in (None, ""):
        with pytest.raises(AuthorizationMissing):
            authenticator.authenticate(header)
    for header in ("Basic YTpi", "Bearer", "Bearer ", shared().removeprefix("Bearer "), "Bearer \udcff.x.y"):
        with pytest.raises(TokenInvalid):
            authenticator.authenticate(header)


def test_the_scheme_may_be_written_in_any_case(authenticator: Authenticator) -> None:
    """The scheme is compared without case (RFC 9110, 11.1)."""
    assert authenticator.authenticate(shared().replace("Bearer", "bEARER  ")).id == ADA


def test_a_verified_token_is_not_verified_again(authenticator: Authenticator, keys: FakeKeys) -> None:
    """Checking a signature costs more than the rest of a request."""
    header = "Bearer " + keys.ring.sign(claims())
    for _ in range(3):
        authenticator.authenticate(header)
    assert keys.asked == 1


def test_a_token_is_cached_no_longer_than_it_is_valid(authenticator: Authenticator, clock: Clock) -> None:
    """The cache entry ends with `exp` and 10 s of leeway, to the second."""
    header = shared(exp=NOW + 100)
    clock.time = NOW + 100 + LEEWAY - 0.5
    assert authenticator.authenticate(header).id == ADA
    clock.time = NOW + 100 + LEEWAY
    with pytest.raises(TokenExpired):
        authenticator.authenticate(header)


def test_an_accepted_token_is_cached_for_a_minute(remote: Authenticator, supabase: FakeSupabase, clock: Clock) -> None:
    """Then Supabase checks it again: the session may have ended."""
    header = shared()
    remote.authenticate(header)
    clock.time += CACHE_SECONDS - 1
    remote.authenticate(header)
    assert len(supabase.checked) == 1
    clock.time += 1
    supabase.fault = TokenInvalid()
    with pytest.raises(TokenInvalid):
        remote.authenticate(header)


def test_an_accepted_token_is_not_cached_past_exp(remote: Authenticator, supabase: FakeSupabase, clock: Clock) -> None:
    """Supabase checks the token each time within the leeway."""
    header = shared(exp=NOW + 5)
    remote.authenticate(header)
    clock.time += 5
    remote.authenticate(header)
    remote.authenticate(header)
    assert len(supabase.checked) == 3
    clock.time += LEEWAY
    with pytest.raises(TokenExpired):
        remote.authenticate(header)


def test_a_token_that_supabase_refuses_within_the_leeway_has_expired(
    remote: Authenticator, supabase: FakeSupabase, clock: Clock
) -> None:
    """The page then refreshes its session, instead of asking for a new sign-in. One check is enough."""
    header = shared(exp=NOW + 5)
    clock.time += 5
    supabase.fault = TokenInvalid("refused_by_supabase")
    for _ in range(3):
        with pytest.raises(TokenExpired):
            remote.authenticate(header)
    assert len(supabase.checked) == 1


def test_a_failed_check_is_not_cached(remote: Authenticator, supabase: FakeSupabase) -> None:
    """The next request checks again."""
    header = shared()
    supabase.fault = SignInUnavailable()
    with pytest.raises(SignInUnavailable):
        remote.authenticate(header)
    supabase.fault = None
    assert remote.authenticate(header).id == ADA


def test_a_rejected_token_is_cached_for_a_minute(remote: Authenticator, supabase: FakeSupabase, clock: Clock) -> None:
    """A page that repeats a bad token causes one check a minute."""
    header = shared()
    supabase.fault = TokenInvalid()
    for _ in range(50):
        with pytest.raises(TokenInvalid):
            remote.authenticate(header)
    assert len(supabase.checked) == 1
    supabase.fault = None
    clock.time += CACHE_SECONDS + 1
    assert remote.authenticate(header).id == ADA


def test_the_failed_checks_of_one_address_are_limited(remote: Authenticator, supabase: FakeSupabase) -> None:
    """Over the limit, that address gets answers from the cache only. Other addresses are not affected."""
    known = shared(sid=0)
    remote.authenticate(known, lambda: "192.0.2.1")
    supabase.fault = TokenInvalid()
    for number in range(BURST):
        with pytest.raises(TokenInvalid):
            remote.authenticate(shared(sid=number + 1), lambda: "192.0.2.1")
    supabase.fault = None
    asked = len(supabase.checked)
    for number in range(20):
        with pytest.raises(TooManyBadTokens) as raised:
            remote.authenticate(shared(sid=1000 + number), lambda: "192.0.2.1")
        assert 0 < (raised.value.retry_after or 0) <= 1
    assert remote.authenticate(known, lambda: "192.0.2.1").id == ADA
    assert len(supabase.checked) == asked
    assert remote.authenticate(shared(sid=2000), lambda: "192.0.2.2").id == ADA


def test_a_bad_signature_is_checked_once(authenticator: Authenticator, keys: FakeKeys) -> None:
    """Repeats are answered from the cache."""
    header = "Bearer " + KeyRing("ES256").sign(claims())
    genuine = keys.ring.in_use
    assert genuine
    forged = KeyRing("ES256")
    assert forged.in_use
    forged.in_use.kid = genuine.kid
    header = "Bearer " + forged.sign(claims())
    for _ in range(5):
        with pytest.raises(TokenInvalid) as refused:
            authenticator.authenticate(header)
        assert refused.value.reason == "bad_signature"
    assert keys.asked == 1


def test_a_blocked_user_is_refused_at_once(keys: FakeKeys, supabase: FakeSupabase, clock: Clock) -> None:
    """A blocked user is refused with a valid token too, and if the id is on the white list."""
    authenticator = make(keys, supabase, clock, BLOCKED_IDS=f'["{ADA}"]', ID_WHITE_LIST=f'["{ADA}"]')
    for _ in range(2):
        with pytest.raises(CallerBlocked) as raised:
            authenticator.authenticate(shared())
        assert raised.value.status == 403


@pytest.mark.parametrize("claim", [True, "true", 1, None, {}])
def test_anonymous_users_are_refused_unless_they_have_a_limit(
    keys: FakeKeys, supabase: FakeSupabase, clock: Clock, claim: object
) -> None:
    """Any value but `false` makes a user anonymous. A user on the white list is accepted."""
    header = shared(is_anonymous=claim)
    with pytest.raises(AnonymousRefused):
        make(keys, supabase, clock).authenticate(header)
    for settings in ({"ANONYMOUS_DAILY_LIMIT": "3"}, {"ID_WHITE_LIST": f'["{ADA}"]'}):
        assert make(keys, supabase, clock, **settings).authenticate(header).is_anonymous
    assert not make(keys, supabase, clock).authenticate(shared(is_anonymous=False)).is_anonymous


def test_claims_are_checked_before_supabase_is_asked(remote: Authenticator, supabase: FakeSupabase) -> None:
    """Tokens of other projects cause no request to Supabase."""
    for changes in ({"exp": NOW - 60}, {"iss": "https://other/auth/v1"}, {"aud": "anon"}, {"role": "anon"}):
        with pytest.raises(TokenInvalid):
            remote.authenticate(shared(**changes))
    assert supabase.checked == []


def test_a_token_of_a_revoked_key_leaves_the_cache(authenticator: Authenticator, keys: FakeKeys) -> None:
    """Once the key is not published any more, its tokens are refused."""
    header = "Bearer " + keys.ring.sign(claims())
    authenticator.authenticate(header)
    keys.ring.rotate()
    assert authenticator.authenticate(header).id == ADA
    keys.ring.revoke_previous()
    with pytest.raises(TokenInvalid):
        authenticator.authenticate(header)


def test_the_cache_is_bounded(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entry is dropped first."""
    monkeypatch.setattr("broker.auth.authenticator.CACHE_SIZE", 3)
    for number in range(5):
        authenticator.authenticate(shared(session_id=str(number)))
    assert len(authenticator._verified) == 3


def test_a_result_that_arrived_meanwhile_is_used(remote: Authenticator, supabase: FakeSupabase) -> None:
    """Two requests start a check of one token; the second check uses the first one's result."""
    header = shared()
    checks: list[Callable[[], None]] = []
    for _ in range(2):
        remote.authenticate(header, run=checks.append)
    for check in checks:
        check()
    assert len(supabase.checked) == 1


def test_refused_tokens_leave_the_cache_in_time(authenticator: Authenticator, clock: Clock) -> None:
    """A steady trickle of new bad tokens takes the memory of one minute."""
    for number in range(200):
        with pytest.raises(TokenInvalid):
            authenticator.authenticate("Bearer " + KeyRing("HS256").sign(claims() | {"session_id": str(number)}))
        clock.time += 6
    assert len(authenticator._refused) == CACHE_SECONDS / 6


def test_no_token_is_kept_in_memory(authenticator: Authenticator) -> None:
    """The cache holds only the token's hash."""
    header = shared()
    authenticator.authenticate(header)
    assert header.removeprefix("Bearer ") not in repr(authenticator._verified)
