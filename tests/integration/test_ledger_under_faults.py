"""The counters balance under a random sequence of faults under load."""

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.load import Load
from tests.integration.stack import Stack
from tests.integration.test_client_faults import request_of

FAULTS = 14
EXPECTED = {200, 0, 502, 503, 504}


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack(through_path=True)
    yield made
    made.stop()


def upset_redis(stack: Stack, chance: random.Random) -> None:
    kind = chance.choice(("frozen", "restarted", "slow", "full"))
    if kind == "frozen":
        stack.redis.freeze()
        time.sleep(chance.uniform(0.1, 0.9))
        stack.redis.thaw()
    elif kind == "restarted":
        stack.redis.stop()
        time.sleep(chance.uniform(0, 0.3))
        stack.redis.start()
    elif kind == "slow":
        stack.redis_path.delay = chance.uniform(0.02, 0.4)
        time.sleep(0.5)
        stack.redis_path.delay = 0.0
    else:
        stack.redis.client.config_set("maxmemory", 1)
        time.sleep(0.3)
        stack.redis.client.config_set("maxmemory", 0)


def upset_openai(stack: Stack, chance: random.Random) -> None:
    replies = ("silent", "silent_after_headers", "silent_mid_stream", "cut_before_headers", "cut_mid_stream",
               "garbage_json", "garbage_event", "rate_limited", "500_server_error", "401_masked_key")  # fmt: skip
    stack.openai.next(chance.choice(replies), times=chance.randint(1, 4))
    time.sleep(0.2)


def upset_supabase(stack: Stack, chance: random.Random) -> None:
    stack.supabase.behaviour = chance.choice(("silent", "failing", "garbage"))
    time.sleep(0.2)
    stack.supabase.behaviour = "well"


def kill_a_worker(stack: Stack, chance: random.Random) -> None:
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(chance.choice(stack.broker.workers()), signal.SIGKILL)
    time.sleep(0.3)


def leave(stack: Stack, chance: random.Random) -> None:
    """Disconnect some clients, each after a time of its own, either before the first text or after it.

    A disconnect while the first text is on its way has no defined result, so the times avoid it.
    """
    clients = []
    for user in stack.users(5):
        path, reply = chance.choice(("/stream", "/gpt-4o")), chance.choice(("silent", "silent_mid_stream"))
        gets_text = (path, reply) == ("/stream", "silent_mid_stream")
        with contextlib.suppress(OSError):
            client = socket.create_connection(("127.0.0.1", stack.broker.port), timeout=2.0 if gets_text else 0.02)
            clients.append(client)
            client.sendall(request_of(user, path, f"stand-in: {reply}"))
    for client in clients:
        with contextlib.suppress(OSError):
            client.recv(65_536)
        time.sleep(chance.uniform(0, 0.1))
        client.close()


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10_000)])
def test_the_ledger_balances_after_a_random_sequence_of_faults(stack: Stack, seed: int) -> None:
    """Admitted = settled + given back + lapsed + in flight; Redis and OpenAI agree."""
    chance = random.Random(seed)
    upsets = (upset_redis, upset_openai, upset_supabase, kill_a_worker, leave)
    order = [*upsets, *chance.choices(upsets, k=FAULTS - len(upsets))]
    chance.shuffle(order)
    ada = stack.user()
    with Load(stack.users(6)) as load:
        for upset in order:
            upset(stack, chance)
        stack.broker.wait_until("/health")
        stack.openai.clear()
        stack.wait_until_serving(ada)
    assert {status for status, _ in load.tally()} <= EXPECTED, seed
    assert load.tally()[200, ""] > 5
    books = stack.wait_until_balanced(killed=True)
    assert books.settled > 5
    assert books.given_back > 5
