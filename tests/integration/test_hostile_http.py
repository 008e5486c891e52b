"""Hostile HTTP against the real server: every request gets the right response at a low cost."""

import json
import math
import uuid
from collections.abc import Iterator

import pytest

from broker.web.headers.security_headers import HEADERS
from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.hostile.connection import Answer, exchange, processor_seconds
from tests.hostile.raw_requests import ALL, HEALTH, Raw, get
from tests.integration.conftest import settings_for
from tests.integration.redis_process import RedisProcess

COST = 0.05  # seconds of processor time that one request may take from the broker
TRIES = 4  # of which the cheapest counts: a worker also does other work


@pytest.fixture(scope="module")
def lone_worker(
    openai_for_all: OpenAIStandIn, supabase: SupabaseStandIn, redis_server: RedisProcess
) -> Iterator[BrokerProcess]:
    """A broker with one worker, whose processor time is that of the request."""
    environ = settings_for(openai_for_all, supabase, redis_server.url)
    broker = BrokerProcess(environ | {"WEB_CONCURRENCY": "1", "DAILY_LIMIT": "100000"})
    broker.wait_until("/ready")
    yield broker
    broker.end()


@pytest.fixture(scope="module")
def token(supabase: SupabaseStandIn) -> bytes:
    return supabase.token_for(str(uuid.uuid4())).encode()


def ask(broker: BrokerProcess, raw: Raw, token: bytes) -> tuple[list[Answer], float]:
    """Return the answers, and their cost in the worker's processor seconds."""
    (worker,) = broker.workers()
    before = processor_seconds(worker)
    answers = exchange(broker.port, raw.written.replace(b"TOKEN", token), len(raw.statuses), cut=raw.cut)
    return answers, processor_seconds(worker) - before


@pytest.mark.parametrize("raw", ALL, ids=lambda raw: raw.name)
def test_a_hostile_request_gets_the_right_response(lone_worker: BrokerProcess, token: bytes, raw: Raw) -> None:
    """It gets exactly its statuses, none of them 5xx, in the documented form, in 50 ms of processor time at most."""
    cost, limit, tries = math.inf, COST * len(raw.statuses), 0
    while cost > limit and tries < TRIES:
        tries += 1
        answers, cost = ask(lone_worker, raw, token)
        got = tuple(answer.status for answer in answers)
        assert got == raw.statuses or (raw.cut and got == (499,))  # a client that closes its side has left
        for answer in answers:
            check(answer)
    assert cost <= limit


def check(answer: Answer) -> None:
    """No server error; the documented error body; the security headers; nothing injected by the request."""
    assert answer.status < 500
    if answer.status >= 400:
        body = json.loads(answer.body)
        assert body["error"]
        assert body["code"]
        assert body["message"] is None
    for name, value in HEADERS.items():
        assert answer.headers[name.lower()] == value
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "given",
    ["a%0d%0aSet-Cookie: b=c", "a\tb", "a,b", "é", "<script>", '"', "x" * 129, "a\\r\\nb: c", "{{7*7}}", "$(id)"],
)
def test_a_request_id_carries_nothing_into_the_answer(lone_worker: BrokerProcess, given: str) -> None:
    """Malformed ids are replaced."""
    (answer,) = exchange(lone_worker.port, get(b"/health", b"X-Request-Id: " + given.encode()), 1)
    assert answer.status == 200
    assert len(answer.headers["x-request-id"]) == 32
    check(answer)


def test_the_worker_still_serves(lone_worker: BrokerProcess) -> None:
    """Last test of the file: nothing crashed, the log has no error, and the worker serves."""
    assert exchange(lone_worker.port, HEALTH, 1)[0].body == b"OK"
    assert "Traceback" not in lone_worker.log()
    assert [line for line in lone_worker.log().splitlines() if '"level": "error"' in line] == []
