"""Connections of clients: cut responses, slow readers, long tokens, silent peers, too many connections."""

import contextlib
import json
import resource
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.hostile.connection import exchange, processor_seconds
from tests.integration.client_disconnect import connect, log_lines_of, post
from tests.integration.conftest import User
from tests.integration.stack import CLIENT_TIMEOUT, Stack
from tests.integration.waiting import within

ASK = {"messages": "x", "model": "gpt-4o"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack(
        WEB_CONCURRENCY="1", OPENAI_CALL_TIMEOUT="30", CORS_ORIGINS="https://app.example.com, https://b.example"
    )
    yield made
    made.stop()


def read_all(client: socket.socket) -> bytes:
    client.settimeout(10)
    read = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65_536):
            read += data
    return read


@pytest.mark.parametrize("path", ["/stream", "/v1/chat/completions", "/v1/responses"])
def test_a_cut_answer_never_ends_cleanly(stack: Stack, path: str) -> None:
    """A client that closes its sending side counts as gone; without the last chunk it sees that the answer is cut."""
    user = stack.user()
    question = [{"role": "user", "content": "x"}]
    bodies = {
        "/stream": ASK,
        "/v1/chat/completions": {"model": "gpt-4o", "messages": question, "stream": True},
        "/v1/responses": {"model": "gpt-4o", "input": question, "stream": True},
    }
    stack.openai.next("silent_mid_stream")
    with connect(stack.broker, post(user, path, bodies[path])) as client:
        client.settimeout(5)
        first = client.recv(65_536)
        client.shutdown(socket.SHUT_WR)
        rest = read_all(client)
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert b"chunked" in first
    assert not (first + rest).endswith(b"\r\n0\r\n\r\n")
    within(2, lambda: log_lines_of(stack.broker, user))
    assert log_lines_of(stack.broker, user)[0]["outcome"] == "client_left"


def test_a_slow_but_steady_client_gets_its_whole_answer(stack: Stack) -> None:
    """It takes longer than `CLIENT_TIMEOUT`; the time without progress is what counts."""
    user, kept = stack.user(), stack.openai.answer
    stack.openai.answer = "x" * 6_000_000
    try:
        with connect(stack.broker, post(user, "/gpt-4o", {"messages": "x"})) as client:
            client.settimeout(10)
            read = b""
            started = time.monotonic()
            while not read.endswith(b'x"}\n') and (data := client.recv(400_000)):
                read += data
                time.sleep(0.15)
            took = time.monotonic() - started
    finally:
        stack.openai.answer = kept
    assert took > CLIENT_TIMEOUT
    assert read.count(b"x") > 5_999_990
    within(2, lambda: log_lines_of(stack.broker, user))
    assert log_lines_of(stack.broker, user)[0]["outcome"] == "answered"


def test_a_client_that_takes_nothing_of_a_whole_answer_is_logged_as_such(stack: Stack) -> None:
    """The log does not say that the call was answered."""
    user, kept = stack.user(), stack.openai.answer
    stack.openai.answer = "x" * 12_000_000
    try:
        with connect(stack.broker, post(user, "/gpt-4o", {"messages": "x"})):
            within(CLIENT_TIMEOUT + 6, lambda: log_lines_of(stack.broker, user))
    finally:
        stack.openai.answer = kept
    assert log_lines_of(stack.broker, user)[0]["outcome"] == "client_timeout"


def test_a_token_of_16_kb_is_read(stack: Stack) -> None:
    """All its claims are read. A longer one is refused as such, not as a malformed request."""
    user_id = str(uuid.uuid4())
    long = stack.supabase.token_for(user_id, app_metadata={"groups": "x" * 11_500})
    assert 15_500 < len(long) <= 16_384
    assert User(user_id, stack.broker.url, long).post("/gpt-4o", {"messages": "x"}).status_code == 200


@pytest.mark.parametrize(
    ("written", "status"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example.com\r\n\r\n" % (b"a" * 9000), 414),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: %b\r\nOrigin: https://app.example.com\r\n\r\n" % (b"a" * 18_000), 431),
        (b"GET /health HTTP/1.1\r\nOrigin: https://app.example.com\r\nHost: x\r\nExpect: wonders\r\n\r\n", 417),
    ],
)
def test_errors_before_the_app_can_be_read_by_the_page(stack: Stack, written: bytes, status: int) -> None:
    """CORS headers are sent for a list of `CORS_ORIGINS`, too."""
    (answer,) = exchange(stack.broker.port, written, 1)
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


def test_silent_clients_are_probed(stack: Stack) -> None:
    """The accepted sockets have keep-alive timers (`ss -o`)."""
    with socket.create_connection(("127.0.0.1", stack.broker.port)) as client:
        local = client.getsockname()[1]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        timers = {row[5] for row in rows if row[1:3] == [f"0100007F:{port:04X}" for port in (stack.broker.port, local)]}
    assert {timer.partition(":")[0] for timer in timers} == {"02"}  # the keep-alive timer, proc(5)


def test_the_limit_of_open_files_is_survived(stack: Stack) -> None:
    """Every log line is JSON, accept does not spin, and the worker serves once connections are closed."""
    (worker,) = stack.broker.workers()
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (60, before[1]))
    try:
        clients = [socket.create_connection(("127.0.0.1", stack.broker.port)) for _ in range(80)]
        used = processor_seconds(worker)
        time.sleep(2)
        assert processor_seconds(worker) - used < 1
        for client in clients:
            client.close()
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    within(5, lambda: requests.get(stack.broker.url + "/health", timeout=5).status_code == 200)
    for line in stack.broker.log().splitlines():
        json.loads(line)
    assert stack.broker.log_lines("unhandled exception")
