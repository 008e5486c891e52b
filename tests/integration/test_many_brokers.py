"""Eight brokers behind one gateway: limits are exact over all, a rolling update cuts nothing, a lost node costs little.

STREAMS sets how many streams are open meanwhile: `make drill STREAMS=5000`.
"""

import asyncio
import concurrent.futures
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from tests.integration import ledger
from tests.integration.conftest import User
from tests.integration.fleet import PODS, Fleet
from tests.integration.load import Load
from tests.integration.own_network import GATEWAY, in_own_network
from tests.integration.waiting import within

STREAMS = int(os.environ.get("STREAMS", "500"))
STARTS = 100.0  # streams begun a second
MEANWHILE = 100  # streams begun during the rolling update
NODE = 2  # pods
LEASE = 60_000  # ms
FUSE, SLICE = 40.0, 0.4  # dollars
LIMITS: dict[str, Any] = {
    "DAILY_LIMIT": 1_000_000,
    "PLANS": {"plans": {"calls": {"calls": 40}, "tokens": {"tokens": 4_000}, "dollars": {"spend": 0.03}}},
    "TENANT_DAILY_SPEND": FUSE,
    "TENANT_SPEND_SLICE": SLICE,
    "MAX_COMPLETION_TOKENS": 100,
    "MIN_OUTPUT_TOKENS": 60,  # the stand-in answers with fewer
    "MODELS": {"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini", "dear": "o-strict"},
    "PRICES": {"o-strict": {"input": 1_000, "output": 10_000}},  # a call costs some 40 cents
}


def scenario(folder: Path) -> Iterator[tuple[str, object]]:
    """Yield the observations of users, Redis and OpenAI, by name."""
    fleet = Fleet(folder, **LIMITS)
    try:
        yield from limits(fleet)
        users = [fleet.user() for _ in range(20)]
        fleet.openai.token_delay = max(3.0, STREAMS / 1000)  # a token every few seconds
        before = _counted(fleet)
        clients = fleet.streams(users, STREAMS, STARTS)
        assert clients.stdout is not None
        assert clients.stdout.readline() == "open\n"
        lost, grace, at = yield from node_lost(fleet)
        yield from rolling_update(fleet, users, clients, (before, lost))
        yield from fuse(fleet)
        yield from calls_back(fleet, grace, at)
    finally:
        fleet.stop()


def limits(fleet: Fleet) -> Iterator[tuple[str, object]]:
    """Each limit is hit over all brokers at once."""
    plans = ("calls", "tokens", "dollars")
    users = {plan: fleet.user(app_metadata={"plan": plan}) for plan in plans}
    statuses = asyncio.run(burst([user for user in users.values() for _ in range(200)]))
    yield "statuses of a burst", set(statuses)
    within(10, lambda: all(_amounts(fleet, user)["rt"] == 0 for user in users.values()))
    charged = {plan: _amounts(fleet, user) for plan, user in users.items()}
    yield "calls", _counted(fleet)[users["calls"].id]
    yield "answers", statuses[200] - sum(_counted(fleet).values())
    yield "tokens within the budget", 0 < charged["tokens"]["t"] <= 4_000
    yield "dollars within the budget", 0 < charged["dollars"]["n"] <= 30_000_000
    answer = len(fleet.openai.answer.split())
    words = len([word for word in fleet.openai.answer.replace(" ", "\0 ").split("\0") if word])
    counted = sum(12 + (words if one.body.get("stream") else answer) for one in fleet.openai.completions())
    yield "tokens charged", sum(one["t"] for one in charged.values()) - counted


def node_lost(fleet: Fleet) -> Generator[tuple[str, object], None, tuple[int, User, float]]:
    """Kill two of eight brokers: calls in flight there are lost, and no others."""
    grace = fleet.user()
    at_the_node = [User(grace.id, pod.url, grace.token) for pod in fleet.pods[:NODE] for _ in range(3)]
    pool = concurrent.futures.ThreadPoolExecutor(len(at_the_node))
    silent = [pool.submit(user.post, "/gpt-4o", {"messages": "stand-in: silent"}) for user in at_the_node]
    within(20, lambda: _usage(grace) == len(silent))
    streams = [int(_metric(pod.url, "gpt_broker_streams_in_flight")) for pod in fleet.pods]
    print(f"open streams of each pod: {streams}")
    yield "open streams", sum(streams)
    fleet.lose_node(NODE)
    at = time.time() * 1000
    yield "calls that broke off", sum(isinstance(call.exception(), requests.RequestException) for call in silent)
    leases = [score for key, score in _scores(fleet, grace) if 0 < score < ledger.COUNTED]
    yield "calls whose leases lapse within a minute", sum(0 < score - at <= LEASE for score in leases)
    yield "a call right after", fleet.user().post("/gpt-4o", {"messages": "hello"}).status_code
    fleet.replace_lost()
    return sum(streams[:NODE]), grace, at


def rolling_update(
    fleet: Fleet, users: Sequence[User], clients: "subprocess.Popen[str]", start: tuple[Counter[str], int]
) -> Iterator[tuple[str, object]]:
    """Every broker is replaced while streams are open, new ones begin, and other users call."""
    before, lost = start
    refill = fleet.streams(users, lost, STARTS)  # as many as before the node was lost
    assert refill.stdout is not None
    assert refill.stdout.readline() == "open\n"
    yield "open streams at the update", _open_streams(fleet)
    began = time.monotonic()
    with Load([fleet.user() for _ in range(2)], only="/gpt-4o", keeps_connections=False) as load:
        more = fleet.streams(users, MEANWHILE, MEANWHILE / 15)
        fleet.roll()
    took = time.monotonic() - began
    assert more.stdout is not None
    assert more.stdout.readline() == "open\n"
    yield "brokers", (len(fleet.pods), len(fleet.ended))
    yield "calls meanwhile", {(answer.status, answer.code) for answer in load.answers}
    fleet.openai.token_delay = 0.0  # the answers end
    first, second, third = (json.loads(process.communicate(timeout=120)[0]) for process in (clients, more, refill))
    yield "streams that did not begin", set(first["ends"]) - {"whole", "cut"}
    yield "streams cut by the update", first["ends"].get("cut", 0) - lost
    yield "streams begun after the loss", third["ends"].get("whole", 0) - lost
    yield "streams meanwhile", second["ends"]
    yield "exits", Counter(pod.process.wait(30) for pod in fleet.ended)
    within(10, lambda: sum(_metric(pod.url, "gpt_broker_calls_in_flight") for pod in fleet.pods) == 0)
    served = Counter({user.id: first["by_user"].get(str(number), 0) for number, user in enumerate(users)})
    for results in (second, third):
        served.update({user.id: results["by_user"].get(str(number), 0) for number, user in enumerate(users)})
    counted = _counted(fleet) - before
    yield "streams counted", {counted[user.id] - served[user.id] for user in users}
    for name, results in (("ramp", first), ("rolling update", second)):
        ordered = sorted(results["first_text"])
        p50, p99 = (ordered[int(len(ordered) * part)] * 1e3 for part in (0.5, 0.99))
        print(f"{name}: {len(ordered)} streams, first token after {p50:.0f} ms (median), {p99:.0f} ms (p99)")
    print(f"rolling update: {took:.0f} s, {len(load.answers)} other calls; the lost node had {lost} streams")


def calls_back(fleet: Fleet, grace: User, at: float) -> Iterator[tuple[str, object]]:
    """The calls of the lost node are the user's again, at the latest a minute after it."""
    within(max(1.0, (at + LEASE) / 1000 - time.time() + 1), lambda: _usage(grace) == 0)
    yield "calls that the lost node keeps", _usage(grace)


def fuse(fleet: Fleet) -> Iterator[tuple[str, object]]:
    """The tenant's budget holds over all brokers; the slices of the lost node may be spent beyond it."""
    body = {"model": "dear", "messages": [{"role": "user", "content": "hello"}]}
    users = [fleet.user() for _ in range(5)]
    statuses = asyncio.run(burst([user for user in users for _ in range(60)], "/v1/chat/completions", body))
    yield "statuses over the tenant's budget", set(statuses)
    ada, refused = fleet.user(), 0
    for _ in range(300):  # what calls in flight had reserved is free again: she spends the rest
        last = ada.post("/v1/chat/completions", body)
        refused = refused + 1 if last.status_code == 503 else 0
        if refused == 2 * PODS:
            break
    yield "the last ones", (refused, last.json()["error"]["code"])
    spent = sum(amounts["n"] for amounts in _all_amounts(fleet)) / 10**9
    print(f"spent {spent:.2f} of {FUSE:.2f} dollars")
    yield "dollars within the tenant's budget", FUSE * 0.7 < spent <= FUSE + NODE * SLICE
    yield "brokers that stay ready", sum(requests.get(f"{pod.url}/ready", timeout=5).ok for pod in fleet.pods)


async def burst(users: Sequence[User], path: str = "", body: object = None) -> Counter[int]:
    """One call of each user at once, each on a connection of its own; the statuses."""

    async def ask(number: int) -> int:
        where = path or ("/gpt-4o", "/stream", "/v1/chat/completions")[number % 3]
        messages = [{"role": "user", "content": "x"}]
        content = json.dumps(body or {"model": "gpt-4o", "messages": messages})
        reader, writer = await asyncio.open_connection(GATEWAY, 8080)
        request = (
            f"POST {where} HTTP/1.1\r\nHost: gpt.example.com\r\nAuthorization: Bearer {users[number].token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(f"{request}{content}".encode())
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    return Counter(await asyncio.gather(*map(ask, range(len(users)))))


def _usage(user: User) -> int:
    used: int = requests.get(f"http://{GATEWAY}:8080/v1/usage", headers=user.headers, timeout=10).json()["used"]
    return used


def _open_streams(fleet: Fleet) -> int:
    return sum(int(_metric(pod.url, "gpt_broker_streams_in_flight")) for pod in fleet.pods)


def _metric(url: str, name: str) -> float:
    text = requests.get(f"{url}/metrics", timeout=10).text
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def _scores(fleet: Fleet, user: User | None = None) -> Iterator[tuple[str, float]]:
    """The calls in Redis, of one user or of all: the user's id and the score."""
    for node in fleet.redis.primaries():
        for key in node.client.keys(f"*{user.id if user else ''}*:calls:*"):
            owner = key.decode().partition("}")[0].rpartition(":")[2]
            for _, score in node.client.zrange(key, 0, -1, withscores=True):
                yield owner, score


def _counted(fleet: Fleet) -> Counter[str]:
    """The calls that count, by user."""
    return Counter(user for user, score in _scores(fleet) if score >= ledger.COUNTED)


def _all_amounts(fleet: Fleet, user: User | None = None) -> Iterator[dict[str, int]]:
    for node in fleet.redis.primaries():
        for key in node.client.keys(f"*{user.id if user else ''}*:amounts:*"):
            yield {name: int(node.client.hget(key, name) or 0) for name in ("t", "n", "rt", "rn")}


def _amounts(fleet: Fleet, user: User) -> dict[str, int]:
    return next(_all_amounts(fleet, user))


def test_eight_brokers_serve_like_one(tmp_path: Path) -> None:
    """Limits, budgets and the fuse are exact; a lost node costs what was in flight there; an update cuts no stream."""
    assert in_own_network(lambda: list(scenario(tmp_path))) == [
        ("statuses of a burst", {200, 429}),
        ("calls", 40),
        ("answers", 0),
        ("tokens within the budget", True),
        ("dollars within the budget", True),
        ("tokens charged", 0),
        ("open streams", STREAMS),
        ("calls that broke off", 3 * NODE),
        ("calls whose leases lapse within a minute", 3 * NODE),
        ("a call right after", 200),
        ("open streams at the update", STREAMS),
        ("brokers", (PODS, PODS + NODE)),
        ("calls meanwhile", {(200, "")}),
        ("streams that did not begin", set()),
        ("streams cut by the update", 0),
        ("streams begun after the loss", 0),
        ("streams meanwhile", {"whole": MEANWHILE}),
        ("exits", Counter({0: PODS, -9: NODE})),
        ("streams counted", {0}),
        ("statuses over the tenant's budget", {200, 503}),
        ("the last ones", (2 * PODS, "tenant_budget_exhausted")),
        ("dollars within the tenant's budget", True),
        ("brokers that stay ready", PODS),
        ("calls that the lost node keeps", 0),
    ]
