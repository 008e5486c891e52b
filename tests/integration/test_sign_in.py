"""Sign-in while Supabase rotates its keys, is slow, or is unavailable."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
import requests

from deploy.local.broker_process import ROOT, BrokerProcess, free_port
from deploy.local.signing import KeyRing, SigningKey
from deploy.local.supabase_auth import SupabaseStandIn
from tests.authority import authority
from tests.integration import ledger
from tests.integration.conftest import StartBroker, User
from tests.integration.waiting import within
from tests.network_path import NetworkPath

JWKS = "/.well-known/jwks.json"
UNCHECKED = (503, "sign_in_unavailable")


@pytest.fixture
def project() -> Iterator[SupabaseStandIn]:
    """A Supabase of its own for each test."""
    stand_in = SupabaseStandIn(alg="ES256")
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def legacy() -> Iterator[SupabaseStandIn]:
    """A Supabase that publishes no key."""
    stand_in = SupabaseStandIn(alg="HS256")
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


def broker_of(start_broker: StartBroker, project: SupabaseStandIn, **environ: str) -> BrokerProcess:
    settings = {"SUPABASE_URL": project.url, "SUPABASE_SERVICE_KEY": project.service_key, "WEB_CONCURRENCY": "1"}
    return start_broker(**(settings | environ))


def try_in(broker: BrokerProcess, token: str) -> tuple[int, str]:
    """Call with an empty body: 400 shows that the token was accepted."""
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.post(broker.url + "/gpt-4o", headers=headers, json={}, timeout=10)
    return response.status_code, response.json()["code"]


IN = (400, "messages_required")
OUT = (401, "invalid_token")


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_published_keys_of_every_kind_are_accepted(
    start_broker: StartBroker, project: SupabaseStandIn, alg: str
) -> None:
    """The six required settings suffice."""
    project.keys.rotate(alg)
    assert try_in(broker_of(start_broker, project), project.token()) == IN


def test_the_operator_gets_the_reason_of_a_401(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """The log line and a metric have it. Clients get the same answer for each, except for an expired token."""
    broker = broker_of(start_broker, project)
    attempts = {
        "wrong_issuer": project.token(iss="https://other.supabase.co/auth/v1"),
        "wrong_audience": project.token(aud="planted"),
        "wrong_role": project.token(role="planted"),
        "unknown_key": KeyRing("ES256").sign(jwt.decode(project.token(), options={"verify_signature": False})),
        "bad_signature": project.token()[:-10] + "A" * 10,
        "not_a_jwt": "planted",
        "openai_key": "sk-planted",
    }
    assert {try_in(broker, token) for token in attempts.values()} == {OUT}
    assert try_in(broker, project.token(expires_in=-60)) == (401, "token_expired")
    reasons = [*attempts, "expired"]
    # a request is logged after its last byte is sent
    within(5, lambda: [line["reason"] for line in broker.log_lines() if line["status"] == 401] == reasons)
    seen = ledger.scrape(broker)
    assert [seen[ledger.name_of("gpt_broker_sign_in_refusals_total", reason=reason)] for reason in reasons] == [1.0] * 8
    assert "planted" not in broker.log()


def test_rotation_under_load_gives_no_wrong_401(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """New tokens are accepted from the first one on; old tokens stay valid."""
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


def test_tokens_of_a_revoked_key_are_refused(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """After the next fetch of the key set, cached tokens are refused too."""
    broker = broker_of(start_broker, project)
    old = project.token()
    assert try_in(broker, old) == IN
    project.keys.rotate()
    project.keys.revoke_previous()
    assert try_in(broker, project.token()) == IN
    assert try_in(broker, old) == OUT


def test_made_up_kids_cause_one_fetch(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """Their number does not matter. A later one never gets a 401 from an earlier fetch."""
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
        seen = Counter(pool.map(lambda token: try_in(broker, token), tokens))
    assert set(seen) == {OUT, UNCHECKED}
    assert project.requests[JWKS] == before + 1
    assert try_in(broker, project.token()) == IN
    project.keys.rotate()  # a valid token of a new key, in the cool-down
    assert try_in(broker, project.token()) == UNCHECKED


def test_the_last_good_keys_serve_while_supabase_is_unavailable(
    start_broker: StartBroker, project: SupabaseStandIn
) -> None:
    """Tokens of known keys are accepted at once, during a fetch too; tokens of unknown keys get 503."""
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == IN
    project.behaviour = "silent"
    unknown = SigningKey("ES256")
    genuine, project.keys.in_use = project.keys.in_use, unknown
    unchecked = project.token()
    project.keys.in_use = genuine
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(try_in, broker, unchecked)
        time.sleep(0.3)
        started = time.monotonic()
        assert try_in(broker, project.token("grace@example.com")) == IN
        assert time.monotonic() - started < 0.5
        assert not waiting.done()
        assert waiting.result() == UNCHECKED
    assert requests.get(broker.url + "/ready", timeout=5).json()["parts"]["supabase"] == "stale: unreachable (timeout)"


def test_supabase_unavailable_at_the_first_start(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """The broker starts, `/ready` names Supabase, calls get 503; service begins when Supabase answers."""
    project.behaviour = "failing"
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == UNCHECKED
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["supabase"]) == (503, "away (status)")
    project.behaviour = "well"
    within(5, lambda: try_in(broker, project.token()) == IN)
    assert requests.get(broker.url + "/ready", timeout=5).status_code == 200
    assert len(broker.log_lines("Supabase's signing keys cannot be fetched")) == 1


@pytest.mark.parametrize("behaviour", ["garbage", "failing"])
def test_a_bad_answer_does_not_replace_good_keys(
    start_broker: StartBroker, project: SupabaseStandIn, behaviour: str
) -> None:
    """Every kind of bad answer is ignored."""
    broker = broker_of(start_broker, project)
    assert try_in(broker, project.token()) == IN
    project.behaviour = behaviour
    forger = SigningKey("ES256")
    genuine, project.keys.in_use = project.keys.in_use, forger
    assert try_in(broker, project.token()) == UNCHECKED
    project.keys.in_use = genuine
    assert try_in(broker, project.token("grace@example.com")) == IN


def test_hs256_with_the_secret_needs_no_supabase(start_broker: StartBroker) -> None:
    """Tokens are checked and `/ready` is 200 although nothing listens at `SUPABASE_URL`."""
    project = SupabaseStandIn()
    project.port = 9  # nothing listens there
    broker = broker_of(start_broker, project, SUPABASE_JWT_SECRET=project.keys.secret)
    assert try_in(broker, project.token()) == IN
    assert try_in(broker, project.token(aud="anon")) == OUT
    assert requests.get(broker.url + "/ready", timeout=5).status_code == 200


def test_hs256_without_the_secret_is_checked_by_supabase_once(
    start_broker: StartBroker, project: SupabaseStandIn
) -> None:
    """An accepted token is cached; a bad signature, an ended session and wrong claims are 401."""
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
    assert try_in(broker, project.token(expires_in=-3)) == (401, "token_expired")  # Supabase has no leeway


RENEW = "status 401 for SUPABASE_SERVICE_KEY: renew the key"
LOOK = "not from Supabase Auth: check SUPABASE_URL and the firewalls in front of it"
REFUSALS = {
    "key disabled": RENEW, "key unknown": RENEW, "page": f"status 401, {LOOK}", "firewall": f"status 403, {LOOK}",
    "maintenance": "status 200, no user: check SUPABASE_URL",
}  # fmt: skip


@pytest.mark.parametrize("behaviour", REFUSALS)
def test_a_refusal_of_the_gateway_is_not_the_users_fault(
    start_broker: StartBroker, legacy: SupabaseStandIn, behaviour: str
) -> None:
    """503 until Supabase checks tokens again, also for the same token; `/ready` and one log line say what to do."""
    broker = broker_of(start_broker, legacy)
    legacy.behaviour = behaviour
    token = legacy.token()
    assert [try_in(broker, token) for _ in range(3)] == [UNCHECKED] * 3
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["supabase"]) == (503, "refused: " + REFUSALS[behaviour])
    (line,) = broker.log_lines("Supabase does not check tokens")
    assert (line["kind"], line["host"], line["reason"]) == ("status", "127.0.0.1", REFUSALS[behaviour])
    legacy.behaviour = "well"
    assert try_in(broker, token) == IN
    assert requests.get(broker.url + "/ready", timeout=5).status_code == 200


def test_a_refusal_that_concerns_few_tokens_leaves_the_broker_ready(
    start_broker: StartBroker, project: SupabaseStandIn
) -> None:
    """The project signs with ES256; old HS256 tokens are the only ones that Supabase has to check."""
    broker = broker_of(start_broker, project)
    recent = project.token()
    project.keys.in_use = None
    project.behaviour = "key disabled"
    assert try_in(broker, project.token()) == UNCHECKED
    assert try_in(broker, recent) == IN
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["supabase"]) == (200, "partly: " + RENEW)


@pytest.mark.parametrize("kind", ["refused", "dns", "tls", "certificate", "cut", "timeout", "status", "answer"])
def test_each_kind_of_failure_of_supabase_is_named(
    start_broker: StartBroker, project: SupabaseStandIn, kind: str
) -> None:
    """One log line, a metric and `/ready` name it."""
    path, secure = NetworkPath(project.port), SupabaseStandIn(alg="ES256")
    secure.tls = authority().server_context()
    secure.start_in_thread()
    urls = {
        "refused": f"http://127.0.0.1:{free_port()}", "dns": "https://supabase.invalid",
        "tls": f"https://127.0.0.1:{path.port}", "certificate": f"https://127.0.0.1:{secure.port}",
        "cut": f"http://127.0.0.1:{path.port}",
    }  # fmt: skip
    project.behaviour = {"timeout": "silent", "status": "failing", "answer": "garbage"}.get(kind, "well")
    if kind == "tls":
        path.garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    else:
        path.to_port = free_port()  # nothing listens there: the relay closes the connection
    broker = broker_of(
        start_broker, project, SUPABASE_URL=urls.get(kind, project.url), SSL_CERT_FILE="", SUPABASE_TIMEOUT="0.5"
    )
    within(5, lambda: broker.log_lines("Supabase's signing keys cannot be fetched"))
    assert try_in(broker, project.token(iss=urls.get(kind, project.url) + "/auth/v1")) == UNCHECKED
    (line,) = broker.log_lines("Supabase's signing keys cannot be fetched")
    assert line["kind"] == kind
    assert line["host"] == ("supabase.invalid" if kind == "dns" else "127.0.0.1")
    assert line["reason"]
    assert ledger.scrape(broker)[ledger.name_of("gpt_broker_supabase_failures_total", kind=kind)] >= 1
    ready = requests.get(broker.url + "/ready", timeout=5)
    assert (ready.status_code, ready.json()["parts"]["supabase"]) == (503, f"away ({kind})")
    path.close()
    secure.stop()


@pytest.mark.parametrize("alg", ["ES256", "HS256"])
def test_a_slow_name_look_up_is_within_the_time_out(start_broker: StartBroker, alg: str) -> None:
    """The limit of 0.5 s holds for keys and tokens; the look-up takes 3 s. Other names are resolved meanwhile."""
    slow = SupabaseStandIn(alg=alg)
    slow.start_in_thread()
    broker = broker_of(
        start_broker, slow, SUPABASE_URL=f"http://localhost:{slow.port}", SUPABASE_TIMEOUT="0.5",
        PYTHONPATH=str(ROOT / "tests" / "slow_dns"), SLOW_NAMES="localhost", SLOW_DNS="3",
    )  # fmt: skip
    issuer = f"http://localhost:{slow.port}/auth/v1"
    tokens = [slow.token(iss=issuer, session_id=str(number)) for number in range(12)]
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        seen = set(pool.map(lambda token: try_in(broker, token), tokens))
    assert time.monotonic() - began < 1.5
    assert seen == {UNCHECKED}
    within(10, lambda: try_in(broker, tokens[0]) == IN)  # the result of the slow look-up serves
    slow.stop()


def test_supabase_is_reached_through_tls_and_the_proxy(start_broker: StartBroker) -> None:
    """SSL_CERT_FILE names the authorities. A host of NO_PROXY is reached directly."""
    secure = SupabaseStandIn(alg="ES256")
    secure.tls = authority().server_context()
    secure.start_in_thread()
    for no_proxy in ("", "127.0.0.1"):
        proxy = NetworkPath(0, is_proxy=True)
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": no_proxy}
        assert try_in(broker_of(start_broker, secure, **environ), secure.token()) == IN
        heads = {head.split(b"\r\n")[0] for head in proxy.connects}
        assert (b"CONNECT 127.0.0.1:%d HTTP/1.1" % secure.port in heads) is not bool(no_proxy)
        proxy.close()
    secure.stop()


@pytest.mark.parametrize("behaviour", ["failing", "silent", "garbage"])
def test_hs256_without_the_secret_and_without_supabase(
    start_broker: StartBroker, project: SupabaseStandIn, behaviour: str
) -> None:
    """The answer is 503 within the time-out; cached tokens stay accepted."""
    project.keys.in_use = None
    broker = broker_of(start_broker, project)
    token = project.token()
    assert try_in(broker, token) == IN
    project.behaviour = behaviour
    started = time.monotonic()
    assert try_in(broker, project.token("grace@example.com")) == UNCHECKED
    assert time.monotonic() - started < 3
    assert try_in(broker, token) == IN


def test_a_long_token_is_accepted(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """It may have 16,384 characters, for instance with many claims in `app_metadata`."""
    token = project.token(app_metadata={"groups": "g" * 11_000})
    assert 15_000 < len(token) < 16_384
    assert try_in(broker_of(start_broker, project), token) == IN


def test_another_issuer_may_be_named(start_broker: StartBroker, project: SupabaseStandIn) -> None:
    """With a custom domain, tokens still name the project's supabase.co address."""
    own = "https://abcdefghijklmnopqrst.supabase.co/auth/v1"
    broker = broker_of(start_broker, project, SUPABASE_JWT_ISSUER=own)
    assert try_in(broker, project.token(iss=own)) == IN
    assert try_in(broker, project.token()) == OUT


def test_tokens_of_other_projects_are_refused(
    broker: BrokerProcess, ada: User, project: SupabaseStandIn, new_user: Callable[[BrokerProcess], User]
) -> None:
    """User id and algorithm are the same, the key is another project's."""
    assert try_in(broker, project.token_for(ada.id)) == OUT
    assert try_in(broker, new_user(broker).token) == IN
