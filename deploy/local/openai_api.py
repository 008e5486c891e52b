"""A stand-in for OpenAI's chat completions and responses: `python -m deploy.local.openai_api --port 9101`.

A last message `stand-in: NAME {OPTIONS}`, or `POST /stand-in/next {"reply": NAME}`, selects a failure by name.
"""

import argparse
import collections
import itertools
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import model_turns, shapes
from deploy.local.behaviours import BEHAVIOURS, STREAM, replay
from deploy.local.exchange import Exchange, Request
from deploy.local.http_server import Server
from deploy.local.replies import SAMPLES, recorded
from deploy.local.response_shapes import events
from deploy.local.responses_api import StoredResponses

KEY = "sk-stand-in-0123456789abcdef"
ANSWER = (
    "Tides rise and fall because the moon pulls the sea towards it, and the earth turns beneath. "
    "Twice a day the water comes, 満ちる and ebbs, 引く — and nobody has ever had to sign for it. 🌊"
)
ASKED = "stand-in: "


@dataclass
class Seen:
    """One received request and its outcome."""

    id: int
    path: str
    model: str | None
    headers: dict[str, str]
    body: Any
    started: float = field(default_factory=time.monotonic)
    first_byte: float | None = None  # when the first text of the answer was sent
    ended: float | None = None
    end: str = "under way"


@dataclass
class SelectedReply:
    """A selected reply: its name, its options and for how many requests (-1: all)."""

    name: str
    options: dict[str, Any]
    times: int = 1


class OpenAIStandIn(Server):
    """Answers like OpenAI at a configurable pace, and fails on request."""

    def __init__(self, port: int = 0, *, key: str = KEY, answer: str = ANSWER, folders: tuple[Path, ...] = ()) -> None:
        """`folders`: folders with recorded replies, in addition to the project's samples."""
        super().__init__(port)
        self.key = key
        self.answer = answer
        self.first_token_delay = 0.0  # seconds
        self.token_delay = 0.0  # seconds
        self.seen: list[Seen] = []
        self._replies = recorded(SAMPLES, *folders)
        self._selected: collections.deque[SelectedReply] = collections.deque()
        self._ids = itertools.count(1)
        self.responses = StoredResponses()
        self.other_accounts: dict[str, StoredResponses] = {}  # by key

    def next(self, name: str, times: int = 1, **options: Any) -> None:
        """Answer the next `times` completions (-1: all) with this reply or behaviour."""
        if not self._knows(name):
            raise ValueError(f"'{name}' is none of {', '.join([*BEHAVIOURS, *self._replies])}")
        self._selected.append(SelectedReply(name, options, times))

    def clear(self) -> None:
        """Remove all selected replies."""
        self._selected.clear()

    def reset(self) -> None:
        """Remove all selected replies and the record of requests."""
        self.clear()
        self.seen.clear()

    def completions(self) -> list[Seen]:
        """The received requests for answers, of either API."""
        return [one for one in self.seen if one.path.endswith(("/chat/completions", "/responses"))]

    async def handle(self, exchange: Exchange) -> None:
        """Route one request."""
        request = exchange.request
        if request.path.startswith("/stand-in/"):
            self._control(exchange)
            return
        seen, authorization = self._note(request), request.headers.get("authorization", "")
        key = authorization.removeprefix("Bearer ")
        account = self.responses if key == self.key else self.other_accounts.get(key)
        if account is None:
            exchange.reply(401, shapes.bad_key(authorization))
        elif request.path.endswith("/models"):
            exchange.reply(200, {"object": "list", "data": [shapes.model(name) for name in shapes.MODELS]})
        elif "/responses/" in request.path:
            exchange.reply(*account.find(request.method, request.path.partition("/responses/")[2]))
        else:
            try:
                await self._complete(exchange, request.json(), account)
            finally:  # also when the server stops
                seen.first_byte = exchange.first_text_at
        seen.ended = time.monotonic()
        seen.end = "peer left" if exchange.left.is_set() else "answered"

    async def _complete(self, exchange: Exchange, body: dict[str, Any], account: StoredResponses) -> None:
        selected = self._take_selected(body)
        responses = account if exchange.request.path.endswith("/responses") else None
        refusal = responses.refusal(body) if responses else shapes.refusal(body)
        if selected and selected.name in self._replies:
            await replay(exchange, self._replies[selected.name], selected.options.get("delay", 0.0))
        elif selected:
            await BEHAVIOURS[selected.name](exchange, self._content(body, responses)[1], selected.options)
        elif refusal:
            exchange.reply(*refusal)
        elif await exchange.pause(self.first_token_delay):
            await self._answer(exchange, body, responses)

    async def _answer(self, exchange: Exchange, body: dict[str, Any], responses: StoredResponses | None) -> None:
        if not responses and await model_turns.answer(exchange, body):
            return
        whole, pieces = self._content(body, responses)
        headers = {"x-request-id": f"req_{next(self._ids):032x}", "openai-version": "2020-10-01"}
        if not body.get("stream"):
            exchange.reply(200, whole, headers)
            return
        exchange.start(200, {**STREAM, **headers})
        for number, event in enumerate(pieces):
            exchange.chunk(event)
            # the first text follows the head at once, as OpenAI's does
            if number and self.token_delay and not await exchange.pause(self.token_delay):
                return
        exchange.finish()

    def _content(self, body: dict[str, Any], responses: StoredResponses | None) -> tuple[object, list[bytes]]:
        """The answer whole and as events."""
        if responses:
            response = responses.answer(body, self.answer)
            return response, events(response)
        return shapes.whole_and_pieces(body, self.answer)

    def _take_selected(self, body: dict[str, Any]) -> SelectedReply | None:
        name, _, options = model_turns.last_text(body).removeprefix(ASKED).partition(" ")
        if model_turns.last_text(body).startswith(ASKED) and self._knows(name):
            return SelectedReply(name, json.loads(options or "{}"))
        if not self._selected:
            return None
        selected = self._selected[0]
        selected.times -= 1
        if selected.times == 0:
            self._selected.popleft()
        return selected

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
        if name == "reset":
            self.reset()
        bodies = "bodies" in exchange.request.query
        requests = [{k: v for k, v in asdict(one).items() if bodies or k != "body"} for one in self.seen]
        connections = {"connections": self.connections_ever, "open": len(self.open_connections)}
        exchange.reply(200, {**connections, "requests": requests})


def main() -> None:
    """Serve at a readable pace until SIGTERM or SIGINT."""
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
