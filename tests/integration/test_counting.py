"""Counting with a real Redis is exact under concurrency, through restarts and while Redis is unavailable."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.redis_process import RedisCluster, RedisProcess, RedisSentinel, TLSRedis
from tests.integration.test_client_faults import request_of
from tests.integration.waiting import within

NewUser = Callable[[BrokerProcess], User]


def statuses(user: User, times: int) -> Counter[int]:
    def ask(_: int) -> int:
        return user.post("/gpt-4o", {"messages": "x"}).status_code

    with ThreadPoolExecutor(100) as pool:
        return Counter(pool.map(ask, range(times)))


def test_500_at_once_on_4_processes_give_exactly_50_answers(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """The other 450 calls are refused, and OpenAI is asked 50 times."""
    broker = start_broker(WEB_CONCURRENCY="4")
    openai.first_token_delay = 0.05
    assert statuses(new_user(broker), 500) == {200: 50, 429: 450}
    assert len(openai.completions()) == 50
    assert len(broker.workers()) == 4


def test_a_burst_is_served_without_refusals(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """A thousand streams start at once on one worker. Redis answers, so every call gets its turn."""
    broker = start_broker(WEB_CONCURRENCY="1", DAILY_LIMIT="1000")
    openai.answer, kept = "Yes.", openai.answer
    users = [new_user(broker) for _ in range(20)]
    try:
        seen = asyncio.run(all_at_once([request_of(user, "/stream") for user in users * 50], broker.port))
    finally:
        openai.answer = kept
    assert seen == {200: 1000}
    assert broker.log_lines("Redis is unavailable: calls are refused until it recovers") == []


async def all_at_once(messages: list[bytes], port: int) -> Counter[int]:
    """Send each request on its own connection, read every answer to its end, and return the statuses."""

    async def ask(message: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(message.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    return Counter(await asyncio.gather(*map(ask, messages)))


def test_the_refusal_has_the_seconds_to_midnight(
    broker_with: StartBroker, openai: OpenAIStandIn, new_user: NewUser
) -> None:
    """The 429 has the contract's sentence, the seconds to 00:00 UTC, and `x-should-retry: false`."""
    user = new_user(broker_with(DAILY_LIMIT="1", OPENAI_MAX_RETRIES="0"))
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    response = user.post("/gpt-4o", {"messages": 5})
    assert response.status_code == 429
    assert response.json()["error"] == "GPT Rate limit exceeded."
    assert response.json()["code"] == "daily_limit_exceeded"
    left = 86_400 - time.time() % 86_400
    assert abs(int(response.headers["Retry-After"]) - left) < 5
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["RateLimit"].startswith('"daily";r=0;t=')


def test_failed_calls_cost_nothing(broker_with: StartBroker, new_user: NewUser, openai: OpenAIStandIn) -> None:
    """After any number of invalid, refused and failed calls, the one call of the day is left."""
    user = new_user(broker_with(DAILY_LIMIT="1", OPENAI_MAX_RETRIES="0"))
    for _ in range(5):
        assert user.post("/gpt-4o", {}).status_code == 400
        assert user.call("POST", "/gpt-4o", data="x").status_code == 415
        openai.next("500_server_error")
        assert user.post("/gpt-4o", {"messages": "x"}).status_code == 502
        openai.next("stream_error_first")
        with user.stream() as refused:
            assert refused.status_code == 502
        assert requests.post(user.url + "/gpt-4o", timeout=5).status_code == 401
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 429


def test_the_white_listed_are_counted_and_never_refused(
    start_broker: StartBroker, new_user: NewUser, redis_server: RedisProcess
) -> None:
    """Users on the white list exceed the limit, and Redis counts their calls."""
    user = new_user(start_broker())
    exempt = start_broker(DAILY_LIMIT="2", ID_WHITE_LIST=f'["{user.id}"]')
    user = User(user.id, exempt.url, user.token)
    assert statuses(user, 7) == {200: 7}
    (key,) = redis_server.client.keys(f"*{user.id}*:calls:*")
    assert redis_server.client.zcard(key) == 7


def test_a_restart_forgets_nothing(start_broker: StartBroker, new_user: NewUser) -> None:
    """Neither a restart of the broker nor of its workers changes the count."""
    broker = start_broker(DAILY_LIMIT="3", WEB_CONCURRENCY="1")
    user = new_user(broker)
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    (worker,) = broker.workers()
    os.kill(worker, signal.SIGKILL)
    within(10, lambda: broker.workers() not in ([], [worker]))
    broker.wait_until()
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    broker.stop()
    again = User(user.id, start_broker(DAILY_LIMIT="3").url, user.token)
    assert statuses(again, 5) == {200: 1, 429: 4}


def test_keys_hold_project_user_and_day_and_expire(
    broker: BrokerProcess, ada: User, redis_server: RedisProcess
) -> None:
    """The keys of two projects do not collide, and every key expires."""
    ada.post("/gpt-4o", {"messages": "x"})
    (key,) = redis_server.client.keys(f"*{ada.id}*:calls:*")
    name = key.decode()
    assert name.startswith("gpt-broker:{127.0.0.1")
    assert name.endswith(time.strftime("}:calls:%Y-%m-%d", time.gmtime()))
    assert 0 < redis_server.client.ttl(key) <= 2 * 86_400


def test_a_dead_redis_refuses_at_once_and_is_logged_once(
    start_broker: StartBroker, new_user: NewUser, own_redis: RedisProcess
) -> None:
    """Calls get 503 with `Retry-After`. Service resumes within moments of Redis' return, with the counts intact."""
    broker = start_broker(REDIS_URL=own_redis.url, WEB_CONCURRENCY="1", DAILY_LIMIT="2")
    user = new_user(broker)
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    time.sleep(0.2)
    own_redis.stop()
    started = time.monotonic()
    for _ in range(20):
        response = user.post("/gpt-4o", {"messages": "x"})
        assert (response.status_code, response.json()["code"]) == (503, "usage_unavailable")
        assert int(response.headers["Retry-After"]) >= 1
    assert time.monotonic() - started < 3
    assert requests.get(broker.url + "/ready", timeout=5).json()["parts"]["redis"] == "away (refused)"
    assert requests.get(broker.url + "/health", timeout=5).status_code == 200
    own_redis.start()
    within(5, lambda: user.post("/gpt-4o", {}).status_code == 400)
    assert [user.post("/gpt-4o", {"messages": "x"}).status_code for _ in range(2)] == [200, 429]
    assert len(broker.log_lines("Redis is unavailable: calls are refused until it recovers")) == 1
    assert len(broker.log_lines("Redis has recovered")) == 1


def test_a_frozen_redis_costs_one_time_out(
    start_broker: StartBroker, new_user: NewUser, own_redis: RedisProcess
) -> None:
    """The log has one line per outage, not one per call."""
    broker = start_broker(REDIS_URL=own_redis.url, WEB_CONCURRENCY="1")
    user = new_user(broker)
    user.post("/gpt-4o", {"messages": "x"})
    own_redis.freeze()
    started = time.monotonic()
    assert user.post("/gpt-4o", {"messages": "x"}).status_code == 503
    assert time.monotonic() - started < 1.2
    quick = [user.post("/gpt-4o", {"messages": "x"}).elapsed.total_seconds() for _ in range(5)]
    assert sorted(quick)[2] < 0.2
    own_redis.thaw()
    within(5, lambda: user.post("/gpt-4o", {}).status_code == 400)


def test_a_settlement_waits_for_redis_to_return(
    start_broker: StartBroker, new_user: NewUser, own_redis: RedisProcess, openai: OpenAIStandIn
) -> None:
    """A call that was answered while Redis was unavailable counts once Redis returns."""
    user = new_user(start_broker(REDIS_URL=own_redis.url, WEB_CONCURRENCY="1"))
    openai.first_token_delay = 0.5
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(user.post, "/gpt-4o", {"messages": "x"})
        within(3, openai.completions)
        own_redis.stop()
        assert answer.result().status_code == 200
    own_redis.start()

    def settled() -> bool:
        keys = own_redis.client.keys("*calls*")
        return bool(keys) and own_redis.client.zcount(keys[0], "+inf", "+inf") == 1

    within(5, settled)


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
def test_a_cluster_and_a_sentinel_count_alike(
    start_broker: StartBroker, new_user: NewUser, own_redis: RedisProcess, tmp_path: Path, kind: str
) -> None:
    """Each has its own kind of URL."""
    folder = tmp_path / kind
    folder.mkdir()
    server: RedisProcess
    if kind == "cluster":
        server = RedisCluster(folder)
        url = f"redis+cluster://127.0.0.1:{server.port}"
    else:
        server = sentinel = RedisSentinel(folder)
        sentinel.watch(own_redis, "mymaster")
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster"
    try:
        broker = start_broker(REDIS_URL=url, DAILY_LIMIT="3", WEB_CONCURRENCY="2")
        assert statuses(new_user(broker), 20) == {200: 3, 429: 17}
    finally:
        server.stop()


def test_redis_over_tls_counts_alike_and_its_certificate_is_checked(
    start_broker: StartBroker, new_user: NewUser, tmp_path: Path
) -> None:
    """`rediss://` trusts the authority in the URL. With any other, Redis counts as unavailable."""
    server = TLSRedis(tmp_path)
    try:
        broker = start_broker(REDIS_URL=server.url, DAILY_LIMIT="3", WEB_CONCURRENCY="2")
        assert statuses(new_user(broker), 20) == {200: 3, 429: 17}
        wary = start_broker(REDIS_URL=server.url.partition("?")[0], WEB_CONCURRENCY="1")
        assert new_user(wary).post("/gpt-4o", {"messages": "x"}).status_code == 503
    finally:
        server.stop()


def test_the_embedded_store_counts_by_the_same_rules(start_broker: StartBroker, new_user: NewUser) -> None:
    """Without REDIS_URL one worker runs regardless of WEB_CONCURRENCY, and the count is exact."""
    broker = start_broker(REDIS_URL="", WEB_CONCURRENCY="4", DAILY_LIMIT="5")
    assert len(broker.workers()) == 1
    assert statuses(new_user(broker), 40) == {200: 5, 429: 35}
