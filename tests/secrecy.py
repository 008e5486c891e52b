"""Checks that no broker of a test run exposes a key, token, prompt or answer.

`watch` records every broker's log, metrics and command lines, and the headers and
bodies of its errors. It collects each key that a broker is given, each token that the stand-in for
Supabase signs, and each prompt and answer at the stand-in for OpenAI.
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
SHORTEST, LONGEST = 16, 48  # characters of a secret that is searched for; shorter texts occur by chance
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{40,}")
_JSON_IN_BASE64 = "eyJ"  # the beginning of every JWT header and payload


class Secrecy:
    """Recorded output, and the secrets that must not be in it."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._signatures: set[str] = set()
        self._output: list[tuple[str, str]] = []

    def add_secret(self, text: str) -> None:
        """Add a secret. Its beginning is searched for, too; texts under `SHORTEST` characters are ignored."""
        if len(text) >= SHORTEST:
            self._secrets.add(text[:LONGEST])

    def add_token(self, token: str) -> None:
        """Add a token's signature. Tokens are found by their beginning."""
        self._signatures.add(token.rpartition(".")[2])

    def record(self, source: str, text: str) -> None:
        """Record output from a source."""
        self._output.append((source, text))

    def sources(self) -> set[str]:
        """Return the sources that wrote anything."""
        return {source for source, _ in self._output}

    def wrote(self, source: str, words: str) -> bool:
        """Return whether a source wrote these words."""
        return any(words in text for written_by, text in self._output if written_by == source)

    def leaks(self) -> list[str]:
        """Return each exposed secret with its source and the text before it."""
        return [
            f"{source}: …{text[max(0, at - 60) : at + 20]}…"
            for source, text in self._output
            for at in self._found(text)
        ]

    def _found(self, text: str) -> list[int]:
        places = [text.find(secret) for secret in (*self._secrets, _JSON_IN_BASE64)]
        places += [word.start() for word in _LONG_WORD.finditer(text) if word[0] in self._signatures]
        return [place for place in places if place >= 0]


def watch(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    """Record the output of all brokers and collect all secrets until `patch` is undone."""
    _watch_brokers(secrecy, patch)
    _watch_errors(secrecy, patch)
    _watch_stand_ins(secrecy, patch)


def _watch_brokers(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    start, wait_until, stop = BrokerProcess.__init__, BrokerProcess.wait_until, BrokerProcess.stop

    def started(broker: BrokerProcess, environ: dict[str, str], *arguments: Any, **options: Any) -> None:
        for name in KEYS:
            secrecy.add_secret(environ.get(name, ""))
        start(broker, environ, *arguments, **options)

    def waited(broker: BrokerProcess, *arguments: Any, **options: Any) -> None:
        wait_until(broker, *arguments, **options)
        secrecy.record("command line", command_lines(broker))

    def stopped(broker: BrokerProcess, *arguments: Any, **options: Any) -> int:
        with contextlib.suppress(requests.RequestException):
            secrecy.record("metrics", requests.get(broker.url + "/metrics", timeout=1).text)
        status = stop(broker, *arguments, **options)
        secrecy.record("log", broker.log())
        return status

    patch.setattr(BrokerProcess, "__init__", started)
    patch.setattr(BrokerProcess, "wait_until", waited)
    patch.setattr(BrokerProcess, "stop", stopped)


def command_lines(broker: BrokerProcess) -> str:
    """Return the command lines of a broker's processes, which any user of the machine can read."""
    lines = []
    for pid in (broker.process.pid, *broker.workers()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_text())
    return "\n".join(lines)


def _watch_errors(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    send = requests.Session.send

    def sent(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = send(session, request, **options)
        if response.status_code >= 400 and "x-request-id" in response.headers:
            secrecy.record("error", f"{response.headers}\n{response.text}")
        return response

    patch.setattr(requests.Session, "send", sent)


def _watch_stand_ins(secrecy: Secrecy, patch: pytest.MonkeyPatch) -> None:
    sign, note = KeyRing.sign, OpenAIStandIn._note

    def signed(ring: KeyRing, claims: dict[str, Any]) -> str:
        token = sign(ring, claims)
        secrecy.add_token(token)
        return token

    def noted(stand_in: OpenAIStandIn, request: Any) -> Any:
        seen = note(stand_in, request)
        secrecy.add_secret(stand_in.answer)
        for message in seen.body.get("messages") or ():
            content = message.get("content") if isinstance(message, dict) else None
            # made-up input may be a name from our own source, such as a parameter's, which logs may say
            if isinstance(content, str) and not content.isidentifier():
                secrecy.add_secret(content)
        return seen

    patch.setattr(KeyRing, "sign", signed)
    patch.setattr(OpenAIStandIn, "_note", noted)
