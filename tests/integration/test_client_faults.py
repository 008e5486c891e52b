"""Clients that leave in any phase, read one byte a second, or never finish their request."""

import contextlib
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from deploy.local.broker_process import BrokerProcess
from deploy.local.http_server import Connection
from tests.integration import ledger
from tests.integration.client_disconnect import connect, log_lines_of, post
from tests.integration.conftest import StartBroker, User
from tests.integration.load import Load
from tests.integration.stack import CLIENT_TIMEOUT, Stack
from tests.integration.waiting import within

GOOD = (200, "")
SLACK = 1.0  # seconds, on a busy machine
LEAVERS = 80
PATHS = ("/gpt-4o", "/stream", "/v1/chat/completions")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack(through_path=True, OPENAI_FIRST_BYTE_TIMEOUT="20", OPENAI_SILENCE_TIMEOUT="20")
    yield made
    made.stop()


def request_of(user: User, path: str, content: str = "x") -> bytes:
    messages = [{"role": "user", "content": content}]
    stream = {"stream": True} if path.startswith("/v1") else {}
    return post(user, path, {"messages": messages, "model": "gpt-4o"} | stream)


def read_and_leave(stack: Stack, user: User, path: str, stay: float) -> bool:
    """Leave after `seconds`. Return whether any text of the answer arrived."""
    received, leaves_at = b"", time.monotonic() + stay
    with connect(stack.broker, request_of(user, path, user.id[::-1])) as client, contextlib.suppress(TimeoutError):
        while (left := leaves_at - time.monotonic()) > 0 and not received.endswith(b"0\r\n\r\n"):
            client.settimeout(left)
            received += client.recv(65_536)
    return b"Tides" in received


def ending(broker: BrokerProcess, user: User) -> list[str]:
    return [line["outcome"] for line in log_lines_of(broker, user)]


def open_upstream(stack: Stack) -> int:
    return sum(seen.end == "under way" for seen in stack.openai.completions())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reply", ["silent", "silent_after_headers"])
def test_leaving_before_the_first_text_costs_nothing(stack: Stack, path: str, reply: str) -> None:
    """The broker notices within a second while OpenAI is silent, and closes the connection to OpenAI."""
    ada = stack.user()
    with connect(stack.broker, request_of(ada, path, f"stand-in: {reply}")):
        within(3, lambda: open_upstream(stack) == 1)
    within(1, lambda: open_upstream(stack) == 0)
    within(1, lambda: ending(stack.broker, ada) == ["client_left"])
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=100000;')
    stack.wait_until_balanced()


@pytest.mark.parametrize("path", ["/stream", "/v1/chat/completions"])
def test_leaving_midway_counts(stack: Stack, path: str) -> None:
    """OpenAI has begun to answer. The connection is closed within a second and the call counts."""
    ada = stack.user()
    with connect(stack.broker, request_of(ada, path, "stand-in: silent_mid_stream")) as client:
        while b"Tides" not in client.recv(65_536):
            pass
    within(1, lambda: open_upstream(stack) == 0)
    within(1, lambda: ending(stack.broker, ada) == ["client_left"])
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=99999;')
    stack.wait_until_balanced()
    assert stack.log_count("a request failed in the server") == 0  # a client that leaves is no failure


def test_leaving_as_the_answer_begins_counts_call_by_call() -> None:
    """An answer that reached the client counts, one that OpenAI had not begun is free, and the ledger balances.

    Answers whose first text was on its way to a client that left are free.
    """
    own = Stack(OPENAI_FIRST_BYTE_TIMEOUT="20")
    own.openai.first_token_delay = 0.03
    try:
        users = own.users(LEAVERS)
        stays = [0.02 + 0.1 * number / LEAVERS for number in range(LEAVERS)]
        with ThreadPoolExecutor(4) as pool:
            received = list(pool.map(partial(read_and_leave, own), users, itertools.cycle(PATHS), stays))
        within(5, lambda: own.metric("calls_in_flight") == 0)
        keys = [own.redis.client.keys(f"*{user.id}*:calls:*") for user in users]
        made = [sum(own.redis.client.zcount(key, 0, "+inf") for key in of_user) for of_user in keys]
        seen = ledger.read(own.broker, own.redis.client, own.openai)
    finally:
        own.stop()
    begun = {one.body["messages"][-1]["content"] for one in own.openai.completions() if one.first_byte is not None}
    assert all(count in ((1,) if got else (0, 1)) for count, got in zip(made, received, strict=True))
    assert {user.id[::-1] for user, count in zip(users, made, strict=True) if count} <= begun
    assert 0 < sum(received) <= sum(made) == seen.settled == seen.in_redis < LEAVERS
    assert (seen.admitted, seen.leased, seen.lapsed) == (seen.settled + seen.given_back, 0, 0)


@pytest.mark.parametrize("path", ["/gpt-4o", "/stream"])  # under /v1 the client's SDK tries again by itself
def test_leaving_between_two_tries_costs_nothing(stack: Stack, path: str) -> None:
    """While the broker waits for OpenAI's `Retry-After`, the call ends without a second attempt."""
    ada, before = stack.user(), len(stack.openai.completions())
    stack.openai.next("rate_limited", **{"retry-after": 3})
    with connect(stack.broker, request_of(ada, path)):
        within(3, lambda: len(stack.openai.completions()) == before + 1)
        time.sleep(0.2)
    within(1, lambda: ending(stack.broker, ada) == ["client_left"])
    assert len(stack.openai.completions()) == before + 1
    stack.wait_until_balanced()


@pytest.mark.parametrize("path", PATHS)
def test_leaving_while_redis_is_asked_sends_nothing_to_openai(stack: Stack, path: str) -> None:
    """The reservation is returned."""
    ada, before = stack.user(), len(stack.openai.completions())
    stack.redis_path.delay = 0.1  # a round trip takes less than half of REDIS_TIMEOUT: the connection counts as alive
    try:
        with connect(stack.broker, request_of(ada, path)):
            time.sleep(0.1)
        within(1.5, lambda: ending(stack.broker, ada) == ["client_left"])
    finally:
        stack.redis_path.delay = 0.0
    assert len(stack.openai.completions()) == before
    assert stack.wait_until_balanced().leased == 0


def test_leaving_while_supabase_is_asked_is_noticed() -> None:
    """Only Supabase can check the token, and it does not answer."""
    own = Stack(SUPABASE_TIMEOUT="5")
    own.supabase.keys.in_use, own.supabase.behaviour = None, "silent"
    request = request_of(own.user(), "/gpt-4o").replace(b"\r\n", b"\r\nX-Request-Id: leaving\r\n", 1)
    try:
        with connect(own.broker, request):
            within(2, lambda: own.supabase.requests["/user"] == 1)
        within(1, lambda: [line["outcome"] for line in own.broker.log_lines() if line["request_id"] == "leaving"])
    finally:
        own.stop()
    lines = [line for line in own.broker.log_lines() if line["request_id"] == "leaving"]
    assert [line["outcome"] for line in lines] == ["client_left"]
    assert own.openai.completions() == []


def test_leaving_in_the_queue_for_redis_costs_nothing() -> None:
    """In a burst, calls wait in a queue for Redis. A client that leaves meanwhile pays nothing."""
    own = Stack(through_path=True, WEB_CONCURRENCY="1", REDIS_TIMEOUT="3")
    others, ada = own.users(20), own.user()
    own.redis_path.delay = 0.4  # for each way: so in 0.8 s, one worker counts as many calls as have a turn at once
    with contextlib.ExitStack() as stack:
        stack.callback(own.stop)
        requests = [request_of(user, "/gpt-4o") for user in others * 16]
        waiting = [stack.enter_context(connect(own.broker, request)) for request in requests]
        time.sleep(0.4)
        with connect(own.broker, request_of(ada, "/gpt-4o", ada.id)):
            time.sleep(0.4)
            assert ending(own.broker, ada) == []
        within(2, lambda: ending(own.broker, ada) == ["client_left"])
        own.redis_path.delay = 0.0
        assert {client.recv(65_536).split()[1] for client in waiting} == {b"200"}
        assert own.metric("calls_admitted_total") == len(waiting)
        assert not [seen for seen in own.openai.completions() if ada.id in str(seen.body)]
        own.wait_until_balanced()


@pytest.mark.parametrize("path", PATHS)
def test_leaving_with_half_a_request_sent_costs_nothing(stack: Stack, path: str) -> None:
    """Nothing is reserved before the whole body has arrived."""
    ada, admitted = stack.user(), stack.metric("calls_admitted_total")
    with connect(stack.broker, request_of(ada, path)[:-5]):
        time.sleep(0.2)
        assert stack.metric("calls_admitted_total") == admitted
    within(1, lambda: len(ending(stack.broker, ada)) == 1)
    within(1, lambda: stack.metric("calls_in_flight") == 0)
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=100000;')


@pytest.fixture(scope="module")
def hole() -> Iterator[int]:
    """A port that ignores every connection attempt."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        plugs = [socket.socket() for _ in range(4)]
        for plug in plugs:  # the queue is full: further attempts get no answer
            plug.setblocking(False)
            plug.connect_ex(address)
        yield address[1]
        for plug in plugs:
            plug.close()


@pytest.mark.parametrize("path", PATHS)
def test_leaving_before_openai_is_connected_to_is_noticed(
    broker_with: StartBroker, new_user: Callable[[BrokerProcess], User], hole: int, path: str
) -> None:
    """The network drops the broker's connection attempts. The call ends with its client, before the time-out."""
    broker = broker_with(OPENAI_BASE_URL=f"http://127.0.0.1:{hole}/v1", OPENAI_CONNECT_TIMEOUT="20")
    ada = new_user(broker)
    with socket.create_connection(("127.0.0.1", broker.port)) as client:
        client.sendall(request_of(ada, path))
        time.sleep(0.5)
        assert ending(broker, ada) == []
    within(1, lambda: ending(broker, ada) == ["client_left"])
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=50;')


def test_a_client_that_reads_nothing_is_disconnected(stack: Stack) -> None:
    """Its answer exceeds the network's buffers. After CLIENT_TIMEOUT the call to OpenAI ends, and it counts."""
    slow, kept = stack.users(3), stack.openai.answer
    stack.openai.answer = ("x" * 8_000 + " ") * 2_000
    stack.openai.token_delay = 0.0
    try:
        clients = [connect(stack.broker, request_of(user, "/stream")) for user in slow]
        assert all(client.recv(1) for client in clients)
        within(5, lambda: len(_stuck(stack)) == 3)
        stuck = _stuck(stack)
    finally:
        stack.openai.answer, stack.openai.token_delay = kept, 0.002
    with Load(stack.users(2), stack.broker.workers()) as load:
        ends_at = time.monotonic() + 1.0
        while time.monotonic() < ends_at:
            for client in clients:
                client.recv(1)
            time.sleep(0.2)
        within(CLIENT_TIMEOUT + 2, lambda: all(ending(stack.broker, user) for user in slow))
        for client in clients:
            client.close()
    assert [ending(stack.broker, user) for user in slow] == [["client_timeout"]] * 3
    assert {status for status, _ in load.tally()} == {200}
    assert load.slowest() < SLACK
    within(1, lambda: not stuck & stack.openai.open_connections)
    assert stack.metric("streams_in_flight") == 0
    stack.wait_until_balanced()


@pytest.mark.parametrize("cut", [20, -5])
def test_a_request_that_never_ends_is_ended_and_costs_nothing(stack: Stack, cut: int) -> None:
    """The head or the body arrives byte by byte. After CLIENT_TIMEOUT the connection ends, for a body with a 408."""
    ada = stack.user()
    request = request_of(ada, "/gpt-4o")
    with Load(stack.users(2), stack.broker.workers()) as load:
        started = time.monotonic()
        clients = [connect(stack.broker, request[:cut]) for _ in range(20)]
        received = b""
        for number in range(3):  # it goes on, but slowly
            time.sleep(0.3)
            for client in clients:
                client.sendall(request[cut:][number : number + 1])
        for client in clients:
            client.settimeout(CLIENT_TIMEOUT + 3)
            while data := client.recv(65_536):
                received += data
            client.close()
        assert time.monotonic() - started < CLIENT_TIMEOUT + 2 * SLACK
    assert set(load.tally()) == {GOOD}
    assert received.count(b" 408 ") == (20 if cut < 0 else 0)
    assert received.count(b'"code": "request_too_slow"') == received.count(b" 408 ")
    within(2, lambda: stack.metric("calls_in_flight") == 0)
    assert ada.post("/gpt-4o", {}).headers["RateLimit"].startswith('"daily";r=100000;')


def _stuck(stack: Stack) -> set[Connection]:
    """Return the connections on which OpenAI sends more than the broker reads."""
    return {one for one in stack.openai.open_connections.copy() if one.unsent > 0}
