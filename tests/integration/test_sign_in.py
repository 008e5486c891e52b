"""Sign-in against a Supabase that rotates its keys, is slow, or is away."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.signing import SigningKey
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.waiting import within

JWKS = "/.well-known/jwks.json"
NOT_JUDGED = (503, "sign_in_unavailable")


@pytest.fixture
def project() -> Iterator[SupabaseStandIn]:
    """A Supabase that a test may ill-treat."""
    stand_in = SupabaseStandIn(alg="ES256")
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


def broker_of(start_broker: StartBroker, project: SupabaseStandIn, **environ: str) -> BrokerProcess:
    settings = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.service_key, "WEB_CONCURRENCY": "1"}
    return start_broker(**(settings | environ))


def try_in(broker: BrokerProcess, token: str) -> tuple[int, str]:
    """A call that is invalid behind the gate: 400 says that the token was believed."""
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(broker.url + "/gpt-4o", headers=headers, json={}, timeout=10)
    return response.status_code, response.json()["code"]


IN = (400, "messages_required")
OUT = (401, "invalid_token")


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_published_keys_of_every_kind_are_believed(
    start_broker: StartBroker, project: SupabaseStandIn, alg: str
) -> None:
    """With the first six settings only."""
    project.keys.rotate(alg)
    assert try_in(broker_of(start_broker, project), project.token()) == IN


def test_rotation_under_load_gives_no_wrong_401(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """New tokens are believed from the first on, old ones go on."""
    broker = broker_of(start_broker, project)
    seen: Counter[tuple[int, str]] = Counter()
    end = time.monotonic() + 2.0

    def keep_calling(_: int) -> None:
        while time.monotonic() < end:
            seen[try_in(broker, project.token())] += 1

    old = project.token()
    with ThreadPoolExecutor(8) as pool:
        running = pool.map(keep_calling, range(8))
        time.sleep(0.7)
        project.keys.rotate()
        list(running)
    assert set(seen) == {IN}
    assert seen[IN] > 50
    assert try_in(broker, old) == IN


def test_a_revoked_key_is_believed_no_more(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """Once the set is fetched anew, also tokens that were remembered are refused."""
    broker = broker_of(start_broker, project)
    old = project.token()
    assert try_in(broker, old) == IN
    project.keys.rotate()
    project.keys.revoke_previous()
    assert try_in(broker, project.token()) == IN
    assert try_in(broker, old) == OUT


def test_made_up_kids_cause_one_fetch(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """However many come; each is refused."""
    broker = broker_of(start_broker, project)
    within(5, lambda: requests.get(broker.url + "/ready", timeout=5).json()["parts"]["supabase"] == "ok")
    before = project.requests[JWKS]
    forger = SigningKey("ES256")
    genuine, project.keys.in_use = project.keys.in_use, forger
    tokens = []
    for _ in range(100):
        forger.kid = str(uuid.uuid4())
        tokens.append(project.token())
    project.keys.in_use = genuine
    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda token: try_in(broker, token), tokens)) == {OUT}
    assert project.requests[JWKS] == before + 1
    assert try_in(broker, project.token()) == IN


def test_the_last_good_keys_serve_while_supabase_is_away(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """Whom it knows is let in at once; whom it cannot judge gets 503; and nobody waits for another one's fetch."""
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == IN
    project.mood = "silent"
    unknown = SigningKey("ES256")
    genuine, project.keys.in_use = project.keys.in_use, unknown
    stranger = project.token()
    project.keys.in_use = genuine
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(try_in, broker, stranger)
        time.sleep(0.3)
        started = time.monotonic()
        assert try_in(broker, project.token("grace@example.com")) == IN
        assert time.monotonic() - started < 0.5
        assert not waiting.done()
        assert waiting.result() == NOT_JUDGED
    assert requests.get(broker.url + "/ready", timeout=5).json()["parts"]["supabase"] == "stale"


def test_supabase_away_at_the_first_start(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """The broker starts, names the part, answers 503; and serves within moments of Supabase's return."""
    project.mood = "failing"
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == NOT_JUDGED
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["supabase"]) == (503, "away")
    project.mood = "well"
    within(5, lambda: try_in(broker, project.token()) == IN)
    assert requests.get(broker.url + "/ready", timeout=5).status_code == 200
    assert len(broker.journal("Supabase's signing keys cannot be fetched")) == 1


@pytest.mark.parametrize("mood", ["garbage", "failing"])
def test_a_bad_answer_does_not_replace_good_keys(
    start_broker: StartBroker, project: SupabaseStandIn, mood: str
) -> None:
    """Whatever is sent in their place."""
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == IN
    project.mood = mood
    forger = SigningKey("ES256")
    genuine, project.keys.in_use = project.keys.in_use, forger
    assert try_in(broker, project.token()) == NOT_JUDGED
    project.keys.in_use = genuine
    assert try_in(broker, project.token("grace@example.com")) == IN


def test_hs256_with_the_secret_asks_nobody(start_broker: StartBroker) -> None:
    """Not even a Supabase that does not exist, and `/ready` says that calls can be served."""
    project = SupabaseStandIn()
    project.port = 9  # nobody is there
    broker = broker_of(start_broker, project, SUPABASE_JWT_SECRET=project.keys.secret)
    assert try_in(broker, project.token()) == IN
    assert try_in(broker, project.token(aud="anon")) == OUT
    assert requests.get(broker.url + "/ready", timeout=5).status_code == 200


def test_hs256_without_the_secret_asks_supabase_and_remembers(
    start_broker: StartBroker, project: SupabaseStandIn
) -> None:
    """A yes is remembered; a bad signature, an ended session and a claim that cannot be right are 401."""
    project.keys.in_use = None
    broker = broker_of(start_broker, project)
    token = project.token()
    assert [try_in(broker, token) for _ in range(5)] == [IN] * 5
    assert project.requests["/user"] == 1
    assert try_in(broker, token[:-4] + "AAAA") == OUT
    project.signed_out.add("ended")
    assert try_in(broker, project.token(session_id="ended")) == OUT
    asked = project.requests["/user"]
    assert try_in(broker, project.anon_key) == OUT
    assert try_in(broker, project.token(expires_in=-60)) == (401, "token_expired")
    assert project.requests["/user"] == asked


@pytest.mark.parametrize("mood", ["failing", "silent", "garbage"])
def test_hs256_without_the_secret_and_without_supabase(
    start_broker: StartBroker, project: SupabaseStandIn, mood: str
) -> None:
    """503 within the time-out; whom it remembers goes on."""
    project.keys.in_use = None
    broker = broker_of(start_broker, project)
    token = project.token()
    assert try_in(broker, token) == IN
    project.mood = mood
    started = time.monotonic()
    assert try_in(broker, project.token("grace@example.com")) == NOT_JUDGED
    assert time.monotonic() - started < 3
    assert try_in(broker, token) == IN


def test_another_issuer_may_be_named(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """With a custom domain, tokens still name the project's own address."""
    own = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
    broker = broker_of(start_broker, project, SUPABASE_JWT_ISSUER=own)
    assert try_in(broker, project.token(iss=own)) == IN
    assert try_in(broker, project.token()) == OUT


def test_users_of_other_projects_are_refused(
    broker: BrokerProcess, ada: User, project: SupabaseStandIn, new_user: Callable[[BrokerProcess], User]
) -> None:
    """Same user id, same algorithm, another project's key."""
    assert try_in(broker, project.token_for(ada.id)) == OUT
    assert try_in(broker, new_user(broker).token) == IN
