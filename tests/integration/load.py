"""Other users, who keep calling while something breaks."""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import requests

from tests.integration.conftest import User

PACE = 0.03  # seconds between a user's calls


@dataclass(frozen=True)
class Answer:
    """What one call of the load came to: when it began, how long it took, its status and code."""

    began: float
    seconds: float
    status: int  # 0: the connection ended without an answer
    code: str  # of an error; "broken" for a stream that ended in an error line

    @property
    def is_good(self) -> bool:
        """Whether the user got a whole answer."""
        return self.status == 200 and not self.code


class Load:
    """A thread for each user: plain calls and streams in turns, until the end of the `with` block."""

    def __init__(self, users: Sequence[User]) -> None:
        self.answers: list[Answer] = []
        self._users = users
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(user,), daemon=True) for user in users]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a call never ended"

    def tally(self) -> Counter[tuple[int, str]]:
        """How many answers there were of each kind."""
        return Counter((answer.status, answer.code) for answer in self.answers)

    def slowest(self) -> float:
        """How long nineteen answers in twenty took at most, in seconds; the last one is the busy machine's."""
        return sorted(answer.seconds for answer in self.answers)[len(self.answers) * 19 // 20]

    def _call(self, user: User) -> None:
        paths = ["/stream", "/gpt-4o"]
        with requests.Session() as session:
            while not self._ended.is_set():
                paths.reverse()
                self.answers.append(_ask(session, user, paths[0]))
                time.sleep(PACE)


def _ask(session: requests.Session, user: User, path: str) -> Answer:
    began = time.monotonic()
    status, code = 0, ""
    try:
        body = {"messages": "x", "model": "gpt-4o"} if path == "/stream" else {"messages": "x"}
        response = session.post(user.url + path, headers=user.headers, json=body, timeout=20)
        status = response.status_code
        last = json.loads(response.content.splitlines()[-1])
        code = str(last.get("code") or ("broken" if "error" in last else ""))
    except requests.RequestException:
        code = "no answer"
    return Answer(began, time.monotonic() - began, status, code)
