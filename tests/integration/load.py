"""Background load: other users who keep calling while a test breaks something."""

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import requests

from tests.integration.conftest import User
from tests.integration.starvation import Stopwatch

PACE = 0.03  # seconds between a user's calls


@dataclass(frozen=True)
class Answer:
    """The result of one call."""

    began: float
    seconds: float
    status: int  # 0 if the connection ended without a response
    code: str  # the error code; "broken" for a stream that ended with an error line
    user: str  # id

    @property
    def is_good(self) -> bool:
        """Whether the user got a complete answer."""
        return self.status == 200 and not self.code


class Load:
    """One thread per user that alternates plain calls and streams until the `with` block ends."""

    def __init__(
        self, users: Sequence[User], pids: Sequence[int] = (), *, only: str = "", keeps_connections: bool = True
    ) -> None:
        """`pids`: the broker's processes. The time for which they wait for a processor counts for no answer.

        `only`: the one endpoint to call. Without `keeps_connections`, each call opens a connection.
        """
        self.answers: list[Answer] = []
        self._pids = pids
        self._paths = [only] if only else ["/stream", "/gpt-4o"]
        self._keeps_connections = keeps_connections
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
        """The number of answers by status and code."""
        return Counter((answer.status, answer.code) for answer in self.answers)

    def slowest(self) -> float:
        """The 95th percentile of the answer times, in seconds. A busy machine spoils the maximum."""
        return sorted(answer.seconds for answer in self.answers)[len(self.answers) * 19 // 20]

    def _call(self, user: User) -> None:
        paths = list(self._paths)
        with requests.Session() as session:
            if not self._keeps_connections:
                session.headers["Connection"] = "close"
            while not self._ended.is_set():
                paths.reverse()
                self.answers.append(_ask(session, user, paths[0], Stopwatch(self._pids)))
                time.sleep(PACE)


def _ask(session: requests.Session, user: User, path: str, watch: Stopwatch) -> Answer:
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
    except ValueError:  # an error page of a gateway
        code = "not JSON"
    return Answer(began, watch.seconds(), status, code, user.id)
