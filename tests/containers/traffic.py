"""Users' traffic against a tenant: calls at a steady rate and streams that stay open. Every failure is recorded."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from deploy.local.openai_api import ANSWER

STREAMS = 20


class Traffic:
    """Sends calls and streams to `url` until it is stopped."""

    def __init__(self, url: str, token: str, rate: float, verify: str | bool = True) -> None:
        """`rate` is in calls per second."""
        self.url, self.rate, self.verify = url, rate, verify
        self.headers = {"Authorization": f"Bearer {token}"}
        self.calls, self.streams = 0, 0
        self.failures: list[str] = []
        self.gaps = 0.0  # the longest time between two successful calls, in seconds
        self._lock, self._stop, self._last = threading.Lock(), threading.Event(), time.monotonic()
        callers = [threading.Thread(target=self._call_repeatedly, args=(index,)) for index in range(8)]
        self._threads = callers + [threading.Thread(target=self._stream_repeatedly) for _ in range(STREAMS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop sending. Open streams are read to their end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call_repeatedly(self, index: int) -> None:
        """Every second thread keeps its connection open between calls, as browsers do."""
        session = requests.Session() if index % 2 else None
        while not self._stop.wait(8 / self.rate):
            self._attempt("call", lambda: self._post("/gpt-4o", session, {"messages": "hello"}).json()["message"])
            with self._lock:
                self.calls += 1
                now = time.monotonic()
                self.gaps, self._last = max(self.gaps, now - self._last), now

    def _stream_repeatedly(self) -> None:
        while not self._stop.is_set():
            self._attempt("stream", self._read_stream)
            with self._lock:
                self.streams += 1

    def _read_stream(self) -> str:
        with self._post("/stream", None, {"messages": "hello", "model": "gpt-4o"}, stream=True) as response:
            return "".join(json.loads(line)["data"] for line in response.iter_lines())

    def _post(
        self, path: str, session: requests.Session | None, body: dict[str, str], *, stream: bool = False
    ) -> requests.Response:
        response = (session or requests).post(
            self.url + path, json=body, headers=self.headers, timeout=60, stream=stream, verify=self.verify
        )
        response.raise_for_status()
        return response

    def _attempt(self, kind: str, action) -> None:  # type: ignore[no-untyped-def]
        try:
            text = action()
            if text != ANSWER:
                raise ValueError(text[-60:])
        except (requests.RequestException, ValueError, KeyError) as error:
            with self._lock:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {type(error).__name__}: {error}")


@contextmanager
def traffic(*flows: Traffic) -> Iterator[None]:
    """Run the flows during the block; none of their calls or streams may fail."""
    for flow in flows:
        flow.start()
    try:
        yield
    finally:
        for flow in flows:
            flow.stop()
    for flow in flows:
        assert not flow.failures, flow.failures[:5]
