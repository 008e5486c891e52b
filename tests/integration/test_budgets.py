"""Limits in tokens and money, with real workers and a real Redis."""

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from broker.quota import scripts
from broker.quota.budgets.tenant_fuse import DENIAL
from broker.quota.calls import keys
from broker.settings.prices import PRICES
from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import Seen
from tests.integration.client_disconnect import connect, log_lines_of
from tests.integration.conftest import User, settings_for
from tests.integration.ledger import Amounts, read_amounts
from tests.integration.redis_process import RedisProcess
from tests.integration.stack import Stack
from tests.integration.test_client_faults import request_of
from tests.integration.waiting import within

BUDGET = 4_000  # tokens a user's day
KILLED = 5  # workers
INPUT = 12  # tokens of every question, according to the stand-in
PATIENT = {  # with four workers on a small machine, nothing is quick
    "CLIENT_TIMEOUT": "30",
    "OPENAI_CONNECT_TIMEOUT": "20",
    "OPENAI_FIRST_BYTE_TIMEOUT": "20",
    "OPENAI_SILENCE_TIMEOUT": "20",
    "OPENAI_CALL_TIMEOUT": "60",
    "REDIS_CONNECT_TIMEOUT": "5",
    "REDIS_TIMEOUT": "5",
}
LIMITS = {
    **PATIENT,
    "WEB_CONCURRENCY": "4",
    "DAILY_TOKENS": str(BUDGET),
    "DAILY_SPEND": "0.03",
    "TENANT_DAILY_SPEND": "100",
    "MIN_OUTPUT_TOKENS": "60",  # the stand-in answers with fewer
}


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack(through_path=False, **LIMITS)
    yield made
    made.stop()


def amounts(stack: Stack, user: User) -> dict[str, int]:
    """A user's tokens (t) and nano-dollars (n) in Redis: charged, reserved (r…) and lapsed (l…)."""
    (key,) = stack.redis.client.keys(f"*{user.id}*:amounts:*")
    read = stack.redis.client.hmget(key, "t", "n", "rt", "rn", "lt", "ln")
    return dict(zip(("t", "n", "rt", "rn", "lt", "ln"), (int(value or 0) for value in read), strict=True))


async def burst(stack: Stack, users: list[User], calls: int, seed: int = 0) -> Counter[int]:
    """Send so many calls at once; the statuses, 0 where the connection ends. With a `seed`, one in ten leaves.

    Each call's number is its prompt and its request id.
    """
    chance = random.Random(seed)

    async def ask(number: int) -> int:
        path = ("/gpt-4o", "/stream", "/v1/chat/completions")[number % 3]
        own = f"\r\nConnection: close\r\nX-Request-Id: {number}\r\n"
        message = request_of(users[number % len(users)], path, str(number)).replace(b"\r\n", own.encode(), 1)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", stack.broker.port)
            writer.write(message)
            if seed and chance.random() < 0.1:
                await asyncio.sleep(chance.uniform(0, 0.5))
                writer.close()
                return 0
            answer = await reader.read()
            writer.close()
            return int(answer.split()[1])
        except (OSError, IndexError):
            return 0

    return Counter(await asyncio.gather(*map(ask, range(calls))))


def test_a_budget_is_exact_under_a_thousand_calls_at_once(stack: Stack) -> None:
    """Redis charged what OpenAI counted, no user is over the budget, and nothing stays reserved."""
    users = stack.users(5)
    seen = asyncio.run(burst(stack, users, 1_000))
    assert set(seen) == {200, 429}
    stack.wait_until_balanced()
    charged = [amounts(stack, user) for user in users]
    counted = sum(tokens_of(stack, one) for one in stack.openai.completions())
    price = PRICES["gpt-4o"]
    assert all(one["t"] <= BUDGET and one["n"] <= 30_000_000 for one in charged)
    assert all((one["rt"], one["rn"], one["lt"], one["ln"]) == (0, 0, 0, 0) for one in charged)
    tokens, money = read_amounts(stack.broker, stack.redis.client)
    assert tokens.is_balanced()
    assert money.is_balanced()
    assert tokens.settled == tokens.charged_in_redis == counted
    inputs = INPUT * len(stack.openai.completions())
    assert money.settled == money.charged_in_redis == inputs * price.input + (counted - inputs) * price.output
    assert (tokens.lapsed, money.lapsed) == (0, 0)


def tokens_of(stack: Stack, asked: Seen) -> int:
    """The tokens of a whole answer of the stand-in, as its usage says."""
    words = stack.openai.answer.split()
    pieces = [piece for piece in stack.openai.answer.replace(" ", "\0 ").split("\0") if piece]
    return INPUT + len(pieces if asked.body.get("stream") else words)


def test_a_budget_holds_while_workers_die_redis_restarts_and_clients_leave(stack: Stack) -> None:
    """No user is over it, and a minute after the crash nothing is reserved: the sums balance."""
    users, stack.openai.first_token_delay = stack.users(5), 0.05
    seen: list[Counter[int]] = []
    thread = threading.Thread(target=lambda: seen.append(asyncio.run(burst(stack, users, 1_000, seed=7))))
    thread.start()
    for answered, killed in ((15, 1), (30, 4)):  # a single worker may just have no call in flight
        within(30, lambda least=answered: stack.metric("calls_settled_total") >= least)  # type: ignore[misc]
        for worker in stack.broker.workers()[:killed]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    stack.redis.stop()
    stack.redis.start()
    thread.join(60)
    assert seen
    assert seen[0][200] > 5
    within(10, lambda: stack.metric("calls_in_flight") == 0)
    for user in users:
        for key in stack.redis.client.keys(f"*{user.id}*:places"):
            stack.redis.client.zadd(key, dict.fromkeys(stack.redis.client.zrange(key, 0, -1), 1))  # a minute later
        # charges that Redis missed while it was away are written meanwhile
        within(5, lambda one=user: usage_of(one)["tokens"]["used"] == amounts(stack, one)["t"])  # type: ignore[misc]
        day = usage_of(user)
        assert (day["tokens"]["reserved"], day["dollars"]["reserved"]) == (0, 0)
        assert day["tokens"]["used"] <= BUDGET
    stack.wait_until_balanced(killed=True, lost=seen[0][0])
    within(5, lambda: all(one.is_balanced() for one in read_amounts(stack.broker, stack.redis.client)))
    tokens, money = read_amounts(stack.broker, stack.redis.client)
    assert tokens.lapsed > 0
    assert money.lapsed > 0
    check_charges(stack, tokens)


def usage_of(user: User) -> Any:
    """The answer of `/v1/usage`. Each worker refuses for a second after it saw Redis fail."""
    answers: list[requests.Response] = []

    def is_read() -> bool:
        answers.append(user.get("/v1/usage"))
        return answers[-1].ok

    within(5, is_read)
    return answers[-1].json()


def check_charges(stack: Stack, tokens: Amounts) -> None:
    """What OpenAI counted is charged, lapsed with a killed worker, or free because its client left too early."""
    lines = stack.broker.log_lines("request")
    estimates = [line for line in lines if line.get("estimated")]
    free = {line["request_id"] for line in lines if line["outcome"] == "client_left" and "tokens" not in line}
    begun = [one for one in stack.openai.completions() if one.first_byte is not None]
    due = [tokens_of(stack, one) for one in begun if one.body["messages"][0]["content"] not in free]
    # of an estimate, the input may be off by its bytes, and the output by what was not delivered
    margin = len(estimates) * max(due)
    assert -margin <= sum(due) - tokens.charged_in_redis <= tokens.lapsed + margin
    # a worker may be killed between the end of a call in Redis and in the log, or in the log and in Redis: then the
    # call's reservation lapses
    usages = sum(stack.metric("tokens_total", model="gpt-4o", kind=kind) for kind in ("input", "output"))
    estimated = sum(line["tokens"] for line in estimates)
    unnoted = tokens.charged_in_redis - usages - estimated
    assert abs(unnoted) <= tokens.lapsed + KILLED * max(due)


def test_a_client_that_leaves_is_charged_the_input_and_the_delivered_output(stack: Stack) -> None:
    """The charge is an estimate, and log and metrics mark it as one."""
    ada = stack.user()
    with connect(stack.broker, request_of(ada, "/stream", "stand-in: silent_mid_stream")) as client:
        while b"Tides" not in client.recv(65_536):
            pass
    within(2, lambda: log_lines_of(stack.broker, ada))
    (line,) = log_lines_of(stack.broker, ada)
    assert (line["outcome"], line["estimated"]) == ("client_left", True)
    within(2, lambda: amounts(stack, ada)["rt"] == 0)
    charged = amounts(stack, ada)
    assert 20 < charged["t"] < 60
    assert line["dollars"] == charged["n"] / 10**9
    assert stack.metric("spend_dollars_total", model="gpt-4o", basis="estimate") == pytest.approx(line["dollars"])


def test_the_first_abandoned_calls_of_a_day_are_free() -> None:
    """The client leaves before the first text, while OpenAI works. Further ones count; failures of OpenAI never do."""
    own = Stack(FREE_ABANDONED_CALLS="2", OPENAI_FIRST_BYTE_TIMEOUT="20", OPENAI_MAX_RETRIES="0")
    try:
        ada = own.user()
        for number in range(4):
            with connect(own.broker, request_of(ada, "/gpt-4o", "stand-in: silent")):
                within(3, lambda asked=number + 1: len(own.openai.completions()) == asked)  # type: ignore[misc]
            within(2, lambda: own.metric("calls_in_flight") == 0)
        assert ada.post("/gpt-4o", {"messages": "stand-in: 500_server_error"}).status_code == 502
        day = ada.get("/v1/usage").json()
        assert day["used"] == 2
        assert day["tokens"]["used"] > 0
    finally:
        own.stop()


def test_one_place_serves_calls_one_after_the_other() -> None:
    """The place is free before the client can see the end of the answer: none of 120 calls is refused."""
    own = Stack(MAX_CALLS_PER_USER="1")
    own.openai.token_delay = 0.0
    try:
        ada, statuses = own.user(), []
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        with requests.Session() as session:
            for number in range(120):
                path = ("/gpt-4o", "/stream", "/v1/chat/completions")[number % 3]
                asked = body | ({"stream": True} if path.startswith("/v1") else {})
                answer = session.post(ada.url + path, json=asked, headers=ada.headers, stream=True, timeout=10)
                statuses.append(answer.status_code)
                for line in answer.iter_lines():
                    if line == b"data: [DONE]":
                        break
        assert Counter(statuses) == {200: 120}
    finally:
        own.stop()


def test_the_tenants_budget_holds_over_all_workers() -> None:
    """The overspend is at most a slice each. Then all users get 503, and /ready stays up and shows it."""
    budget = {"TENANT_DAILY_SPEND": "0.05", "TENANT_SPEND_SLICE": "0.001", "MAX_COMPLETION_TOKENS": "100"}
    own = Stack(through_path=False, WEB_CONCURRENCY="4", **budget, **PATIENT)
    try:
        seen = asyncio.run(burst(own, own.users(5), 400))
        assert set(seen) == {200, 503}
        (books,) = own.redis.client.keys("*:tenant}:spend:*")
        within(10, lambda: int(own.redis.client.hget(books, "held") or 0) <= 4 * 1_000_000)  # workers report each 5 s
        time.sleep(DENIAL)  # a worker refuses for so long after a denial, although there is money again
        ada = own.user()  # what calls in flight had reserved is free again: she spends the rest
        answers = (ada.post("/gpt-4o", {"messages": "x"}) for _ in range(120))
        refused = next(answer for answer in answers if answer.status_code != 200)
        assert (refused.status_code, refused.json()["code"]) == (503, "tenant_budget_exhausted")
        spent = sum(int(own.redis.client.hget(key, "n") or 0) for key in own.redis.client.keys("*:amounts:*"))
        assert 0.05 * 0.7 < spent / 10**9 <= 0.05
        ready = requests.get(own.broker.url + "/ready", timeout=5)
        assert ready.status_code == 200
        assert ready.json()["tenant_budget"]["worst_overspend_of_a_replica"] == pytest.approx(0.004)
    finally:
        own.stop()


def test_killed_workers_of_two_replicas_overspend_by_their_slices_at_most() -> None:
    """Their unreported spend is lost, a minute later the rest of their slices is free, and few messages were needed."""
    budget = {"TENANT_DAILY_SPEND": "0.04", "TENANT_SPEND_SLICE": "0.002", "MAX_COMPLETION_TOKENS": "100"}
    own = Stack(through_path=False, WEB_CONCURRENCY="2", **budget, **PATIENT)
    environ = settings_for(own.openai, own.supabase, own.redis.url) | {"DAILY_LIMIT": "1000", "WEB_CONCURRENCY": "2"}
    replica = BrokerProcess(environ | budget | PATIENT)
    try:
        replica.wait_until("/ready")
        ada = own.user()
        users = [ada, User(ada.id, replica.url, ada.token)]
        assert {user.post("/gpt-4o", {"messages": "x"}).status_code for user in users * 15} == {200}
        for worker in own.broker.workers() + replica.workers():
            os.kill(worker, signal.SIGKILL)
        (holders,) = own.redis.client.keys("*:tenant}:holders:*")
        own.redis.client.zadd(holders, dict.fromkeys(own.redis.client.zrange(holders, 0, -1), 1))  # a minute later
        for broker in (own.broker, replica):
            broker.wait_until("/ready")
        statuses = Counter(user.post("/gpt-4o", {"messages": "x"}).status_code for user in users * 60)
        assert set(statuses) == {200, 503}
        within(5, lambda: own.metric("calls_in_flight") == 0)
        (key,) = own.redis.client.keys(f"*{ada.id}*:amounts:*")
        spent = int(own.redis.client.hget(key, "n") or 0) / 10**9
        worst = requests.get(replica.url + "/ready", timeout=5).json()["tenant_budget"]["worst_overspend_of_a_replica"]
        assert worst == pytest.approx(2 * 0.002)
        assert 0.04 * 0.8 < spent <= 0.04 + 2 * worst
        (tenant,) = own.redis.client.keys("*:tenant}:spend:*")
        messages = [
            int(own.redis.client.hget(tenant, name)) for name in own.redis.client.hkeys(tenant) if name[:2] == b"q:"
        ]
        assert sum(messages) < 75  # for 150 calls, with slices of five; reports and refusals included
    finally:
        replica.end()
        own.stop()


def test_a_plan_holds_from_the_next_token_on() -> None:
    """Its tokens, models and name are those of the claim; a user without a plan has the defaults."""
    plans = '{"claim": "app_metadata.plan", "plans": {"pro": {"tokens": 9000, "models": ["gpt-4o-mini"]}}}'
    own = Stack(PLANS=plans, DAILY_TOKENS="500", MIN_OUTPUT_TOKENS="60", ANONYMOUS_DAILY_LIMIT="1")
    try:
        ada = own.user()
        seen: list[object] = []
        for claims in (
            {},
            {"app_metadata": {"plan": "pro"}},
            {"user_metadata": {"plan": "pro"}},
            {"is_anonymous": True},
        ):
            user = User(ada.id, ada.url, own.supabase.token_for(ada.id, **claims))
            day = user.get("/v1/usage").json()
            models = [model["id"] for model in user.get("/v1/models").json()["data"]]
            seen.append((day["plan"], day["calls"]["limit"], day["tokens"]["limit"], models))
            seen.append(user.post("/gpt-4o", {"messages": "x"}).status_code)
        both = ["gpt-4o", "gpt-4o-mini"]
        assert seen == [
            ("default", 100_000, 500, both), 200, ("pro", 100_000, 9_000, ["gpt-4o-mini"]), 403,
            ("default", 100_000, 500, both), 200, ("anonymous", 1, 500, both), 429,
        ]  # fmt: skip
    finally:
        own.stop()


DAY = keys.day_at(time.time())
CALL = st.sampled_from(["reserve", "renew", "finish"])


@pytest.mark.parametrize("outcome", [scripts.CHARGE, scripts.GIVE_BACK])
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=st.lists(CALL, max_size=5), settles=st.booleans(), chance=st.randoms(use_true_random=False))
def test_scripts_in_any_order_give_the_same_end(
    redis_server: RedisProcess, outcome: int, more: list[str], settles: bool, chance: random.Random
) -> None:
    """Each of a call's scripts runs at least once, some more often, in any order, on a real Redis."""
    settles = settles and outcome == scripts.CHARGE
    order = ["reserve", "finish", *more, *(["settle"] if settles else [])]
    chance.shuffle(order)
    names = keys.keys_of("orders", str(chance.random()), DAY)
    for script in order:
        run(redis_server.client, names, script, outcome)
    answer = run(redis_server.client, names, "read", outcome)
    redis_server.client.delete(*names)
    counts = int(outcome == scripts.CHARGE)
    assert answer[1:6] == [counts, 120 * counts, 450 * counts, 0, 0]


def run(client: redis.Redis, names: tuple[str, ...], script: str, outcome: int) -> list[int]:
    """One script of the call "a"."""
    common = (*names, "a", scripts.LEASE, DAY.ends_at + keys.GRACE, -1)
    texts = {
        "reserve": (scripts.RESERVE, (DAY.number, 9, 1_000, 10_000, 100, 50, 10, 2, 8, 0)),
        "renew": (scripts.RENEW, ()),
        "settle": (scripts.SETTLE, ()),
        "finish": (scripts.FINISH, (outcome, 120 * outcome, 450 * outcome, 10)),
        "read": (scripts.READ, (DAY.number,)),
    }
    text, arguments = texts[script]
    answer: list[int] = client.eval(text, scripts.KEYS, *common, *arguments)
    return answer
