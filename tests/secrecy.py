"""What the brokers of a whole test run say, and what must never be in it: keys, tokens, prompts, answers.

`overhear` listens to the tests' own programs: to every broker's log, metrics and command lines, and to the head and
body of every error that it answers; and learns each key that a broker is given, each token that the stand-in for
Supabase signs, each prompt and answer that the stand-in for OpenAI sees.
"""

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.signing import KeyRing

KEYS = ("OPENAI_API_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_JWT_SECRET")
SHORTEST, LONGEST = 16, 48  # characters of a text that is looked for: shorter ones are everyone's words
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{40,}")
_JSON_IN_BASE64 = "eyJ"  # as each token and each legacy key of Supabase's begins, and the claims in it


class Secrecy:
    """What was said, and what is secret."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._signatures: set[str] = set()
        self._said: list[tuple[str, str]] = []

    def learn(self, text: str) -> None:
        """This is secret, the beginning of it too. Texts too short to be told from others are not looked for."""
        if len(text) >= SHORTEST:
            self._secrets.add(text[:LONGEST])

    def learn_token(self, token: str) -> None:
        """A token's signature; by their beginning all tokens are known."""
        self._signatures.add(token.rpartition(".")[2])

    def hear(self, where: str, text: str) -> None:
        """This was said."""
        self._said.append((where, text))

    def heard(self) -> set[str]:
        """The places that anything was heard from."""
        return {where for where, _ in self._said}

    def said(self, where: str, words: str) -> bool:
        """Whether these words were heard from there."""
        return any(words in text for place, text in self._said if place == where)

    def leaks(self) -> list[str]:
        """Each secret that was said, with the place and what stood before it."""
        return [
            f"{where}: …{text[max(0, at - 60) : at + 20]}…" for where, text in self._said for at in self._found(text)
        ]

    def _found(self, text: str) -> list[int]:
        places = [text.find(secret) for secret in (*self._secrets, _JSON_IN_BASE64)]
        places += [word.start() for word in _LONG_WORD.finditer(text) if word[0] in self._signatures]
        return [place for place in places if place >= 0]


def overhear(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    """Let `secrecy` hear and learn, until `patch` is undone."""
    _overhear_brokers(secrecy, patch)
    _overhear_errors(secrecy, patch)
    _learn_from_stand_ins(secrecy, patch)


def _overhear_brokers(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    start, wait_until, stop = BrokerProcess.__init__, BrokerProcess.wait_until, BrokerProcess.stop

    def started(broker: BrokerProcess, environ: dict[str, str], *arguments: Any, **options: Any) -> None:
        for name in KEYS:
            secrecy.learn(environ.get(name, ""))
        start(broker, environ, *arguments, **options)

    def waited(broker: BrokerProcess, *arguments: Any, **options: Any) -> None:
        wait_until(broker, *arguments, **options)
        secrecy.hear("command line", command_lines(broker))

    def stopped(broker: BrokerProcess, *arguments: Any, **options: Any) -> int:
        with contextlib.suppress(requests.RequestException):
            secrecy.hear("metrics", requests.get(broker.url + "/metrics", timeout=1).text)
        status = stop(broker, *arguments, **options)
        secrecy.hear("log", broker.log())
        return status

    patch.setattr(BrokerProcess, "__init__", started)
    patch.setattr(BrokerProcess, "wait_until", waited)
    patch.setattr(BrokerProcess, "stop", stopped)


def command_lines(broker: BrokerProcess) -> str:
    """What any user of the machine can read of a broker's processes."""
    lines = []
    for pid in (broker.process.pid, *broker.workers()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_text())
    return "\n".join(lines)


def _overhear_errors(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    send = requests.Session.send

    def sent(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = send(session, request, **options)
        if response.status_code >= 400 and "x-request-id" in response.headers:
            secrecy.hear("error", f"{response.headers}\n{response.text}")
        return response

    patch.setattr(requests.Session, "send", sent)


def _learn_from_stand_ins(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    sign, note = KeyRing.sign, OpenAIStandIn._note

    def signed(ring: KeyRing, claims: dict[str, Any]) -> str:
        token = sign(ring, claims)
        secrecy.learn_token(token)
        return token

    def noted(stand_in: OpenAIStandIn, request: Any) -> Any:
        seen = note(stand_in, request)
        secrecy.learn(stand_in.answer)
        for message in seen.body.get("messages") or ():
            if isinstance(message, dict) and isinstance(message.get("content"), str):
                secrecy.learn(message["content"])
        return seen

    patch.setattr(KeyRing, "sign", signed)
    patch.setattr(OpenAIStandIn, "_note", noted)
