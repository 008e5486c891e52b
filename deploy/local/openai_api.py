"""A stand-in for OpenAI's chat completions: `python -m deploy.local.openai_api --port 9101`.

The form is that of https://platform.openai.com/docs/api-reference/chat; what it answers is its own.
A message `stand-in: NAME` asks for a failure by name, as does `POST /stand-in/next {"reply": NAME}`.
"""

import argparse
import collections
import itertools
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import shapes
from deploy.local.behaviours import BEHAVIOURS, STREAM, replay
from deploy.local.exchange import Exchange, Request
from deploy.local.http_server import Server
from deploy.local.replies import SAMPLES, recorded

KEY = "sk-stand-in-0123456789abcdef"
ANSWER = (
    "Tides rise and fall because the moon pulls the sea towards it, and the earth turns beneath. "
    "Twice a day the water comes, 満ちる and ebbs, 引く — and nobody has ever had to sign for it. 🌊"
)
ASKED = "stand-in: "


@dataclass
class Seen:
    """What became of one request."""

    id: int
    path: str
    model: str | None
    headers: dict[str, str]
    body: Any
    started: float = field(default_factory=time.monotonic)
    first_byte: float | None = None  # when the answer's first text was sent
    ended: float | None = None
    end: str = "under way"


@dataclass
class Wanted:
    """A reply that was asked for: its name, its options, for how many requests (-1: all)."""

    name: str
    options: dict[str, Any]
    times: int = 1


class OpenAIStandIn(Server):
    """Answers like OpenAI, at a settable pace, and on demand like OpenAI on a bad day."""

    def __init__(self, port: int = 0, *, key: str = KEY, answer: str = ANSWER, folders: tuple[Path, ...] = ()) -> None:
        """`folders`: where recorded replies lie, besides the project's own samples."""
        super().__init__(port)
        self.key = key
        self.answer = answer
        self.first_token_delay = 0.0  # seconds
        self.token_delay = 0.0  # seconds
        self.seen: list[Seen] = []
        self._replies = recorded(SAMPLES, *folders)
        self._wanted: collections.deque[Wanted] = collections.deque()
        self._ids = itertools.count(1)

    def next(self, name: str, times: int = 1, **options: Any) -> None:
        """Answer the next `times` completions (-1: all from now on) with this reply or behaviour."""
        if not self._knows(name):
            raise ValueError(f"'{name}' is none of {', '.join([*BEHAVIOURS, *self._replies])}")
        self._wanted.append(Wanted(name, options, times))

    def clear(self) -> None:
        """Answer well again."""
        self._wanted.clear()

    def reset(self) -> None:
        """Answer well again, and forget what was seen."""
        self.clear()
        self.seen.clear()

    def completions(self) -> list[Seen]:
        """The completions that were asked for."""
        return [one for one in self.seen if one.path.endswith("/chat/completions")]

    async def handle(self, exchange: Exchange) -> None:
        """Route one request."""
        request = exchange.request
        if request.path.startswith("/stand-in/"):
            self._control(exchange)
            return
        seen = self._note(request)
        if request.headers.get("authorization") != f"Bearer {self.key}":
            exchange.reply(401, shapes.bad_key(request.headers.get("authorization", "")))
        elif request.path.endswith("/models"):
            exchange.reply(200, {"object": "list", "data": [shapes.model(name) for name in shapes.MODELS]})
        else:
            try:
                await self._complete(exchange, request.json())
            finally:  # also where it is stopped itself
                seen.first_byte = exchange.spoke
        seen.ended = time.monotonic()
        seen.end = "peer left" if exchange.left.is_set() else "answered"

    async def _complete(self, exchange: Exchange, body: dict[str, Any]) -> None:
        wanted = self._take_wanted(body)
        if wanted and wanted.name in self._replies:
            await replay(exchange, self._replies[wanted.name], wanted.options.get("delay", 0.0))
        elif wanted:
            await BEHAVIOURS[wanted.name](exchange, self._events(body), wanted.options)
        elif refusal := shapes.refusal(body):
            exchange.reply(*refusal)
        elif await exchange.pause(self.first_token_delay):
            await self._answer(exchange, body)

    async def _answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        headers = {"x-request-id": f"req_{next(self._ids):032x}", "openai-version": "2020-10-01"}
        if not body.get("stream"):
            exchange.reply(200, shapes.completion(body["model"], self.answer), headers)
            return
        exchange.start(200, {**STREAM, **headers})
        for event in self._events(body):
            exchange.chunk(event)
            if self.token_delay and not await exchange.pause(self.token_delay):
                return
        exchange.finish()

    def _events(self, body: dict[str, Any]) -> list[bytes]:
        words = [word for word in self.answer.replace(" ", "\0 ").split("\0") if word]
        wants_usage = bool(body.get("stream_options", {}).get("include_usage"))
        return [*shapes.stream(str(body.get("model")), words, with_usage=wants_usage), b"data: [DONE]\n\n"]

    def _take_wanted(self, body: dict[str, Any]) -> Wanted | None:
        messages = body.get("messages")
        text = messages[-1].get("content") if isinstance(messages, list) and messages else None
        if isinstance(text, str) and text.startswith(ASKED) and self._knows(text.removeprefix(ASKED)):
            return Wanted(text.removeprefix(ASKED), {})
        if not self._wanted:
            return None
        wanted = self._wanted[0]
        wanted.times -= 1
        if wanted.times == 0:
            self._wanted.popleft()
        return wanted

    def _knows(self, name: str) -> bool:
        return name in self._replies or name in BEHAVIOURS

    def _note(self, request: Request) -> Seen:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        body = request.json()
        seen = Seen(len(self.seen) + 1, request.path, body.get("model"), headers, body)
        self.seen.append(seen)
        return seen

    def _control(self, exchange: Exchange) -> None:
        name, options = exchange.request.path.rpartition("/")[2], exchange.request.json()
        if name == "next":
            try:
                self.next(options.pop("reply", ""), options.pop("times", 1), **options)
            except ValueError as wrong:
                exchange.reply(400, {"error": str(wrong)})
                return
        elif name == "reset":
            self.reset()
        bodies = "bodies" in exchange.request.query
        requests = [{k: v for k, v in asdict(one).items() if bodies or k != "body"} for one in self.seen]
        connections = {"connections": self.connections_ever, "open": len(self.open_connections)}
        exchange.reply(200, {**connections, "requests": requests})


def main() -> None:
    """Serve at a person's pace until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first-token-delay", type=float, default=0.3, help="seconds")
    parser.add_argument("--tokens-per-second", type=float, default=25.0)
    parser.add_argument("--replies", type=Path, action="append", default=[], help="a folder of recorded replies")
    chosen = parser.parse_args()
    stand_in = OpenAIStandIn(chosen.port, folders=tuple(chosen.replies))
    stand_in.first_token_delay = chosen.first_token_delay
    stand_in.token_delay = 1 / chosen.tokens_per_second
    stand_in.serve()


if __name__ == "__main__":
    main()
