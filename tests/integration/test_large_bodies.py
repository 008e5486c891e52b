"""Large bodies of one user do not fill the workers' memory."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.load import Load
from tests.integration.stack import Stack
from tests.integration.waiting import within

MEGABYTE = 1_000_000
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 7_500_000}}
EMOJI = {"type": "image_url", "image_url": {"url": "🌊" * 2_000_000}}
LARGE = {"messages": [{"role": "user", "content": [IMAGE]}]}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack(
        WORKER_MAX_RSS=str(600 * MEGABYTE),
        OPENAI_FIRST_BYTE_TIMEOUT="20",
        OPENAI_CALL_TIMEOUT="30",
        CLIENT_TIMEOUT="20",
    )
    yield made
    made.stop()


def test_many_large_bodies_of_one_user_leave_the_others_alone(stack: Stack) -> None:
    """Above the user's bound the answer is 429, before the body is read. No worker is replaced; no other call fails."""
    mallory, workers = stack.user(), stack.broker.workers()
    stack.openai.next("slow_to_start", times=24, delay=2.0)
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: mallory.post("/gpt-4o", LARGE), range(24)))
    with Load(stack.users(2)) as load:
        pass
    codes = Counter(answer.status_code if answer.ok else answer.json()["code"] for answer in answers)
    assert set(codes) <= {200, "too_many_bytes_in_flight"}
    assert codes["too_many_bytes_in_flight"] >= 24 - 2 * 4
    assert set(load.tally()) == {(200, "")}
    assert stack.broker.workers() == workers
    stack.wait_until_balanced()


def test_the_request_to_openai_is_no_longer_than_the_clients(stack: Stack) -> None:
    """Two million emoji leave as UTF-8: escaped, they would take three times as many bytes."""
    body = json.dumps({"messages": [{"role": "user", "content": [EMOJI]}]}, ensure_ascii=False).encode()
    user, before = stack.user(), len(stack.openai.completions())
    response = user.call("POST", "/gpt-4o", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200
    (seen,) = stack.openai.completions()[before:]
    assert seen.body["messages"][0]["content"][0]["image_url"] == EMOJI["image_url"]
    assert int(seen.headers["content-length"]) < len(body) + 1_000


def test_the_bound_holds_before_the_body_is_read(stack: Stack) -> None:
    """The head suffices. The bytes are free again when the client leaves."""
    mallory = stack.user()
    head = (
        f"POST /gpt-4o HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mallory.token}\r\nContent-Length: 8388608\r\n\r\n"
    ).encode()
    clients = []
    for _ in range(16):
        clients.append(socket.create_connection(("127.0.0.1", stack.broker.port)))
        clients[-1].sendall(head)

    def refused() -> bool:
        return mallory.post("/gpt-4o", {"messages": "x" * 100}).status_code == 429

    within(5, refused)
    for client in clients:
        client.close()
    within(5, lambda: not refused())
    stack.wait_until_balanced()
