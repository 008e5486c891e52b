"""Properties that hold for any bytes, one for each parser. hypothesis and the coverage-guided fuzzer call them.

Each returns or raises an AssertionError; any other exception is a bug in the parser.
"""

import contextlib
import functools
import http.client
import itertools
import json
import time
from collections.abc import Callable, Mapping

from broker import strict_json
from broker.auth import tokens
from broker.errors.base import CallerFault, Fault, TokenInvalid
from broker.openai.replies import read_answer, retry_after
from broker.openai.requests import chat_completions, prompts
from broker.openai.streaming.chat_relay import Relay
from broker.transport.response import Response
from deploy.local.signing import SECRET, KeyRing
from tests.hostile.json_bodies import BODIES
from tests.hostile.tokens import Project, b64, forge
from tests.recorded import errors, streams, whole_answers
from tests.responses import RESPONSES
from tests.servers import FakeSocket
from tests.unit.openai.streaming.test_sse import read_stream

Target = Callable[[bytes], None]
MODELS: dict[str, dict[str, object]] = {name: {"model": name} for name in ("gpt-4o", "gpt-4o-mini")}
READERS = (
    lambda body: prompts.read_messages(body, "gpt-4o").request(),
    lambda body: prompts.read_conversation(body, "gpt-4o").request(),
    lambda body: prompts.read_stream(body).request(),
    lambda body: chat_completions.read(body, MODELS, 4096).body,
)  # fmt: skip


@functools.cache
def project() -> Project:
    """A project with a key of every algorithm."""
    ring = KeyRing("HS256")
    for alg in ("RS256", "EdDSA", "ES256"):
        ring.rotate(alg)
    return Project(ring, "https://project.supabase.co/auth/v1", int(time.time()))


@functools.cache
def keys() -> tuple[tokens.Key, ...]:
    return tokens.secret_key(SECRET), *tokens.key_set(project().ring.jwks()).values()


def token(data: bytes) -> None:
    """A text that the project did not sign raises `TokenInvalid` and nothing else."""
    text = data.decode("latin-1")
    with contextlib.suppress(TokenInvalid):
        taken = tokens.read_token(text)
        tokens.check_claims(taken, tokens.Expected(project().issuer), project().now)
        for key in keys():
            with contextlib.suppress(TokenInvalid):
                tokens.check_signature(taken, key)
                raise AssertionError("a token that the project never signed was accepted")


def claims(data: bytes) -> None:
    """Signed claims of any form give a user id that is safe in a key and a log line, or raise `TokenInvalid`."""
    text = project().shared().split(".")[0] + "." + b64(data) + "." + b64(bytes(32))
    with contextlib.suppress(TokenInvalid):
        caller = tokens.check_claims(tokens.read_token(text), tokens.Expected(project().issuer), project().now)
        assert caller.id.isprintable()
        assert caller.id.strip()
        caller.id.encode()
        assert project().now - tokens.LEEWAY < caller.expires_at < float("inf")


def body(data: bytes) -> None:
    """Any body becomes a JSON request to OpenAI or a caller's error. The first byte selects the reader."""
    try:
        request = READERS[data[0] % len(READERS) if data else 0](data[1:])
    except CallerFault as fault:
        assert 400 <= fault.status < 500  # noqa: PT017 - both outcomes are correct
        return
    with contextlib.suppress(ValueError):  # NaN and Infinity, which the client refuses to send
        sent = json.dumps(request, allow_nan=False)
        assert json.loads(sent.encode()) == request
        sent.encode("utf-8")


def strictness(data: bytes) -> None:
    """Strictly read JSON equals what Python reads, and survives being written and read again."""
    with contextlib.suppress(CallerFault):
        value = strict_json.read(data)
        text = json.dumps(value)
        assert text == json.dumps(json.loads(data.decode("utf-8-sig"), parse_int=strict_json.whole))
        assert json.dumps(strict_json.read(text.encode())) == text


def events(data: bytes) -> None:
    """A stream's text, end and usage do not depend on where the network cut it. The first bytes give the cuts."""
    whole, cut = _read_responses([data[8:]]), _read_responses(_cut(data))
    assert whole == cut


def _read_responses(reads: list[bytes]) -> tuple[str, str, object]:
    text, end, transcript = read_stream(reads)
    return text, end, transcript.usage


def relay(data: bytes) -> None:
    """The same holds for the bytes passed on to OpenAI's SDKs, except for blank lines before a fault."""
    assert _pass_on([data[8:]]) == _pass_on(_cut(data))


def _pass_on(reads: list[bytes]) -> tuple[bytes, str | None]:
    one, sent = Relay(with_usage=False), b""
    for data in reads:
        sent += one.feed(data)
        if one.fault:
            break
    else:
        sent += one.finish()
    return (sent.rstrip(b"\r\n"), one.fault.code) if one.fault else (sent, None)


def response(data: bytes) -> None:
    """A response is the same however the network cut it, or malformed either way."""
    assert _receive([data[8:]]) == _receive(_cut(data))


def _receive(reads: list[bytes]) -> tuple[int, Mapping[str, str], bytes] | str:
    sock = FakeSocket(reads)
    try:
        one = Response(sock, lambda _: None)
        payload = b"".join(iter(one.read1, b""))
    except (http.client.HTTPException, ConnectionResetError):
        return "broken"
    return one.status_code, one.headers, payload


def reply(data: bytes) -> None:
    """Any reply of OpenAI becomes an answer or a fault, and any `Retry-After` a finite wait or None."""
    status = int.from_bytes(data[:2], "big") % 500 + 100
    with contextlib.suppress(Fault):
        read_answer(status if data[:1] > b"\x20" else 200, data[2:])
    words = data[2:].decode("latin-1")
    wait = retry_after({"retry-after": words}, 1.8e9)
    assert wait is None or 0 <= wait < float("inf")


def _cut(data: bytes) -> list[bytes]:
    """Return `data` after its first eight bytes, cut at the positions they give."""
    rest = data[8:]
    edges = sorted(place * (len(rest) + 1) // 256 for place in data[:8])
    return [rest[start:end] for start, end in itertools.pairwise([0, *edges, len(rest)])]


PARSERS: dict[str, Target] = {
    one.__name__: one for one in (token, claims, body, strictness, events, relay, response, reply)
}


def any_of_all(data: bytes) -> None:
    """Call the property that the first byte selects."""
    if data:
        list(PARSERS.values())[data[0] % len(PARSERS)](data[1:])


TARGETS = PARSERS | {"all": any_of_all}


CUTS = bytes(range(20, 180, 20))  # for parsers that take pieces


@functools.cache
def seeds(name: str) -> list[bytes]:
    """Return the inputs that a search starts from."""
    if name == "all":
        return [bytes([number]) + seed for number, parser in enumerate(PARSERS) for seed in seeds(parser)]
    return _SEEDS[name]()


def _small_bodies() -> list[bytes]:
    return [text for text in BODIES.values() if len(text) < 2000]


def _replies() -> list[bytes]:
    dates = [b"Wed, 21 Oct 99999999999999999999 07:28:00 GMT", b"Fri, 31 Dec 9999 23:59:59 -0100", b"1.5", b"-1"]
    return [b"\xff\xff" + one.body for one in errors() + whole_answers()] + [b"\x00\x00" + date for date in dates]


_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "token": lambda: [text.encode("utf-8", "surrogatepass") for text in forge(project()).values()],
    "claims": lambda: [json.dumps(project().claims()).encode(), b'{"exp": 1e99}', b'{"sub": "\\ud800"}'],
    "body": lambda: [bytes([number]) + text for text in _small_bodies() for number in range(len(READERS))],
    "strictness": _small_bodies,
    "events": lambda: [CUTS + one.body[:4000] for one in streams()],
    "relay": lambda: [CUTS + one.body[:4000] for one in streams()],
    "response": lambda: [CUTS + text for text in RESPONSES],
    "reply": _replies,
}
