"""Forged tokens and hostile JSON against the real server: no access, no upstream calls, no cost."""

import time
import uuid
from collections.abc import Iterator

import pytest

from broker.auth.tokens import read_token
from broker.errors.base import TokenInvalid
from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.hostile.connection import Answer, exchange, processor_seconds
from tests.hostile.json_bodies import BODIES, TEMPERATURES
from tests.hostile.raw_requests import post
from tests.hostile.tokens import Project, forge
from tests.integration.conftest import settings_for
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

COST, TRIES = 0.05, 8  # seconds of processor time; tries, of which the cheapest counts


@pytest.fixture(scope="module")
def project() -> Iterator[SupabaseStandIn]:
    """A Supabase project that has signed with every algorithm, one after the other."""
    stand_in = SupabaseStandIn()
    for alg in ("RS256", "EdDSA", "ES256"):
        stand_in.keys.rotate(alg)
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture(scope="module")
def its_broker(
    openai_for_all: OpenAIStandIn, project: SupabaseStandIn, redis_server: RedisProcess
) -> Iterator[BrokerProcess]:
    """One worker, which knows the project's secret."""
    environ = settings_for(openai_for_all, project, redis_server.url) | {"SUPABASE_JWT_SECRET": project.keys.secret}
    broker = BrokerProcess(environ | {"WEB_CONCURRENCY": "1", "DAILY_LIMIT": "100000"})
    broker.wait_until("/ready")
    yield broker
    broker.end()


def ask(broker: BrokerProcess, written: bytes) -> tuple[Answer, float]:
    """Return the one answer, and its cost in processor seconds."""
    (worker,) = broker.workers()
    before = processor_seconds(worker)
    (answer,) = exchange(broker.port, written, 1)
    return answer, processor_seconds(worker) - before


def ask_cheaply(broker: BrokerProcess, written: bytes) -> Answer:
    """Return the answer of the first attempt within the allowed cost."""
    for _ in range(TRIES):
        answer, cost = ask(broker, written)
        if cost <= COST:
            return answer
    pytest.fail(f"a request costs {cost:.3f} s of processor time")


def names_an_unknown_key(text: str, project: SupabaseStandIn) -> bool:
    """Whether a readable token's `kid` is not in the project's key set."""
    try:
        kid = read_token(text).kid
    except TokenInvalid:
        return False
    return kid is not None and kid not in {key["kid"] for key in project.keys.jwks()["keys"]}


def test_no_forged_token_is_accepted(
    its_broker: BrokerProcess, project: SupabaseStandIn, openai: OpenAIStandIn
) -> None:
    """401, or 400 for invalid header bytes. Unknown keys cause one fetch from Supabase, no call to Redis or OpenAI.

    After that fetch an unknown key gets 503 for a while: it may be a new one.
    """
    here = Project(project.keys, project.issuer, int(time.time()))
    (good, _) = ask(its_broker, post().replace(b"TOKEN", here.good().encode()))
    assert good.status == 200
    asked, seen = project.requests.copy(), len(openai.completions())
    for name, text in forge(here).items():
        answer = ask_cheaply(its_broker, post().replace(b"TOKEN", text.encode("utf-8", "surrogatepass")))
        expected = 431 if len(text) > 16_900 else 400 if {"\n", "\0"} & set(text) else 401
        assert answer.status == expected or (answer.status == 503 and names_an_unknown_key(text, project)), name
        assert "ratelimit" not in answer.headers  # which would tell that Redis was asked
    assert project.requests["/user"] == 0
    assert (project.requests - asked)["/.well-known/jwks.json"] <= 1
    assert len(openai.completions()) == seen


def test_hostile_json_is_refused_at_no_charge(
    its_broker: BrokerProcess, project: SupabaseStandIn, openai: OpenAIStandIn
) -> None:
    """The client gets an error at a low cost. OpenAI is not called, and every call is given back."""
    token = project.token_for(str(uuid.uuid4())).encode()
    for name, body in BODIES.items():
        for path in (b"/stream", b"/v1/chat/completions")[: 1 if name in TEMPERATURES else 2]:
            answer = ask_cheaply(its_broker, post(body=body, path=path).replace(b"TOKEN", token, 1))
            assert answer.status in (400, 415), name
            assert "r=100000;" in answer.headers["ratelimit"], name
    assert openai.completions() == []


def test_the_worker_still_serves(its_broker: BrokerProcess) -> None:
    """Last test of the file: the log has no error, and the worker serves."""
    within(2, lambda: ask(its_broker, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")[0].status == 200)
    assert [line for line in its_broker.log().splitlines() if '"level": "error"' in line] == []
