"""Mixed load: clients that read, leave early or have no valid token, and failures of OpenAI."""

import contextlib
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable

import requests

from tests.integration.conftest import User
from tests.integration.stack import Stack

THINK = 0.15  # mean seconds between a client's calls
FAILURES = ("cut_mid_stream", "garbage_event", "cut_before_headers", "garbage_json", "silent_after_headers", "no_done",
         "500_server_error", "401_masked_key", "429_rate_limit", "stream_error_midway")  # fmt: skip
Call = Callable[[requests.Session, User, random.Random], str]


def _ask(session: requests.Session, user: User, path: str, body: object) -> requests.Response:
    return session.post(user.url + path, json=body, headers=user.headers, timeout=30, stream=True)


def reads_a_stream(session: requests.Session, user: User, _: random.Random) -> str:
    with _ask(session, user, "/stream", {"model": "gpt-4o", "messages": "the sea"}) as response:
        return f"{response.status_code}" if response.content else "empty"


def reads_openais_stream(session: requests.Session, user: User, _: random.Random) -> str:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "the sea"}]}
    with _ask(session, user, "/v1/chat/completions", body) as response:
        return f"{response.status_code}" if response.content else "empty"


def asks_for_a_whole_answer(session: requests.Session, user: User, _: random.Random) -> str:
    with _ask(session, user, "/gpt-4o", {"messages": "the sea"}) as response:
        return f"{response.status_code}" if response.content else "empty"


def leaves_midway(_: requests.Session, user: User, __: random.Random) -> str:
    with requests.Session() as own, _ask(own, user, "/stream", {"model": "gpt-4o", "messages": "the sea"}) as response:
        response.raw.read1(20)
    return "left"


def leaves_before_the_answer(_: requests.Session, user: User, chance: random.Random) -> str:
    body = json.dumps({"model": "gpt-4o", "messages": "stand-in: silent"})
    head = (
        f"POST /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", int(user.url.rpartition(":")[2])), timeout=5) as client:
        client.sendall((head + body)[: None if chance.random() < 0.8 else len(head) + 5].encode())
        client.settimeout(chance.uniform(0.02, 0.3))
        with contextlib.suppress(TimeoutError):
            client.recv(100)
    return "left"


def meets_a_failure(session: requests.Session, user: User, chance: random.Random) -> str:
    path = chance.choice(("/stream", "/gpt-4o"))
    with _ask(session, user, path, {"model": "gpt-4o", "messages": f"stand-in: {chance.choice(FAILURES)}"}) as response:
        return f"failure {response.status_code}" if response.content else "empty"


def has_no_right(session: requests.Session, user: User, chance: random.Random) -> str:
    forged = user.token[: -chance.randint(2, 80)] + chance.choice("ABCDEFGH")
    headers = {"Authorization": f"Bearer {forged}"}
    response = session.post(user.url + "/gpt-4o", json={"messages": "x"}, headers=headers, timeout=30)
    return f"forged {response.status_code}"


def asks_nonsense(session: requests.Session, user: User, chance: random.Random) -> str:
    body = chance.choice((b"", b"{", b'{"messages": 5}', b"[[]]", b"x" * 200_000, b'{"messages": [{}]}'))
    response = session.post(user.url + "/gpt-4o", data=body, headers=user.headers, timeout=30)
    return f"nonsense {response.status_code}"


MIX: tuple[tuple[Call, int], ...] = (
    (reads_a_stream, 30), (reads_openais_stream, 10), (asks_for_a_whole_answer, 20), (leaves_midway, 10),
    (leaves_before_the_answer, 6), (meets_a_failure, 8), (has_no_right, 10), (asks_nonsense, 6),
)  # fmt: skip


class Load:
    """A number of concurrent clients, from `start` to `stop`."""

    def __init__(self, stack: Stack, users: list[User], clients: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._stack, self._users, self._clients = stack, users, clients
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the clients."""
        self._over.clear()
        self._threads = [threading.Thread(target=self._live, args=(number,)) for number in range(self._clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every call end, and stop the clients."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _live(self, number: int) -> None:
        chance = random.Random(number)
        calls, weights = zip(*MIX, strict=True)
        with requests.Session() as session:
            while not self._over.wait(chance.expovariate(1 / THINK)):
                call, user = chance.choices(calls, weights)[0], chance.choice(self._users)
                try:
                    self.outcomes[call(session, user, chance)] += 1
                except OSError as error:  # a cut stream or a restart is counted; requests' errors are OSErrors
                    self.outcomes[type(error).__name__] += 1
