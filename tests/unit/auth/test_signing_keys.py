"""Supabase's keys: found at once, fetched rarely, kept during an outage."""

import threading
from typing import Any

import pytest

from broker.auth.signing_keys import COOL_DOWN, SigningKeys
from broker.auth.supabase_client import SupabaseUnavailable
from broker.errors.base import SignInUnavailable, TokenInvalid
from broker.telemetry.metrics import Metrics
from deploy.local.signing import KeyRing


class FakeSupabase:
    """Answers with a key ring's document and `status`, or raises `error`."""

    def __init__(self) -> None:
        self.ring = KeyRing("ES256")
        self.host = "supabase.test"
        self.failure = SupabaseUnavailable
        self.fetches = 0
        self.error: Exception | None = None
        self.status = 200
        self.release = threading.Event()
        self.release.set()

    def get(self, path: str, headers: object = None) -> tuple[int, Any]:
        assert path == "/.well-known/jwks.json"
        self.fetches += 1
        self.release.wait(5)
        if self.error:
            raise self.error
        return self.status, self.ring.jwks()


@pytest.fixture
def supabase() -> FakeSupabase:
    return FakeSupabase()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr("broker.auth.signing_keys.time.monotonic", lambda: time[0])
    return time


@pytest.fixture
def keys(supabase: FakeSupabase, now: list[float]) -> SigningKeys:
    return SigningKeys(supabase, Metrics())  # type: ignore[arg-type]


def refused(keys: SigningKeys, kid: str) -> None:
    with pytest.raises(TokenInvalid):
        keys.find(kid)


def kid(supabase: FakeSupabase) -> str:
    assert supabase.ring.in_use
    return supabase.ring.in_use.kid


def test_a_known_key_is_fetched_once(keys: SigningKeys, supabase: FakeSupabase) -> None:
    """The first token that names the key causes the only fetch."""
    assert {keys.find(kid(supabase)).alg for _ in range(5)} == {"ES256"}
    assert supabase.fetches == 1


def test_unknown_kids_cause_one_fetch_in_30_seconds(
    keys: SigningKeys, supabase: FakeSupabase, now: list[float]
) -> None:
    """Any number of unknown `kid`s shares a fetch, which condemns only the `kid` that caused it."""
    refused(keys, "made-up-0")
    for number in range(1, 50):
        with pytest.raises(SignInUnavailable) as caught:
            keys.find(f"made-up-{number}")
        assert caught.value.retry_after == COOL_DOWN
    assert supabase.fetches == 1
    now[0] += COOL_DOWN
    refused(keys, "made-up")
    assert supabase.fetches == 2
    for number in range(50):  # the second fetch began after the first sight of each
        refused(keys, f"made-up-{number}")
    assert supabase.fetches == 2


def test_a_made_up_kid_does_not_condemn_a_new_key(keys: SigningKeys, supabase: FakeSupabase, now: list[float]) -> None:
    """Tokens of a new key get 503 in the cool-down and are accepted after it."""
    refused(keys, "made-up")
    supabase.ring.rotate()
    with pytest.raises(SignInUnavailable):
        keys.find(kid(supabase))
    now[0] += COOL_DOWN
    assert keys.find(kid(supabase))


def test_a_revoked_key_is_refused_in_the_cool_down(keys: SigningKeys, supabase: FakeSupabase, now: list[float]) -> None:
    """The fetch that no longer contains a key condemns it."""
    old = kid(supabase)
    keys.find(old)
    now[0] += COOL_DOWN
    supabase.ring.rotate()
    supabase.ring.revoke_previous()
    keys.find(kid(supabase))
    refused(keys, old)


def test_the_memory_of_unknown_kids_is_bounded(keys: SigningKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, which costs a 503 at most."""
    monkeypatch.setattr("broker.auth.signing_keys.MAX_SEEN", 3)
    refused(keys, "made-up")
    for number in range(5):
        with pytest.raises(SignInUnavailable):
            keys.find(str(number))
    assert len(keys._seen) == 3


def test_a_rotated_key_is_found_with_its_first_token(
    keys: SigningKeys, supabase: FakeSupabase, now: list[float]
) -> None:
    """The previous key stays valid."""
    old = kid(supabase)
    keys.find(old)
    now[0] += COOL_DOWN
    supabase.ring.rotate()
    assert keys.find(kid(supabase))
    assert keys.find(old)


@pytest.mark.parametrize("failure", [("status", "500"), ("dns", "Name or service not known"), ("answer", "not a JWKS")])
def test_the_last_good_set_is_kept(
    keys: SigningKeys,
    supabase: FakeSupabase,
    now: list[float],
    failure: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tokens of unknown keys cannot be checked then; one log line says so and why."""
    keys.find(kid(supabase))
    supabase.error = SupabaseUnavailable(*failure)
    for _ in range(3):
        now[0] += COOL_DOWN
        with pytest.raises(SignInUnavailable):
            keys.find("unknown")
    assert keys.find(kid(supabase))
    assert not keys.is_up
    (record,) = caplog.records
    about = vars(record)
    assert (about["kind"], about["reason"], about["host"]) == (*failure, "supabase.test")
    assert keys.failure == failure[0]


def test_an_error_status_is_no_key_set(keys: SigningKeys, supabase: FakeSupabase) -> None:
    """An error status is refused even with a well-formed body."""
    supabase.status = 404
    with pytest.raises(SignInUnavailable):
        keys.find(kid(supabase))
    assert keys.failure == "status"


def test_no_kid_is_no_key(keys: SigningKeys, supabase: FakeSupabase) -> None:
    """Supabase names its keys, so a token without a `kid` is never genuine."""
    with pytest.raises(TokenInvalid):
        keys.find(None)
    assert supabase.fetches == 0


def test_a_known_key_does_not_wait_for_a_fetch(keys: SigningKeys, supabase: FakeSupabase, now: list[float]) -> None:
    """A fetch for another request's unknown `kid` does not delay it."""
    keys.find(kid(supabase))
    now[0] += COOL_DOWN
    supabase.release.clear()
    slow = threading.Thread(target=refused, args=(keys, "unknown"))
    slow.start()
    assert keys.find(kid(supabase))
    assert slow.is_alive()
    supabase.release.set()
    slow.join(5)


def test_concurrent_requests_share_one_fetch(keys: SigningKeys, supabase: FakeSupabase) -> None:
    """A cold start under load causes one request to Supabase."""
    supabase.release.clear()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find(kid(supabase)))) for _ in range(10)]
    for thread in threads:
        thread.start()
    supabase.release.set()
    for thread in threads:
        thread.join(5)
    assert len(found) == 10
    assert supabase.fetches == 1
