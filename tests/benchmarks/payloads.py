"""The request and response bytes, made before the measurement.

The question contains the plan of the answer (`Plan`), so that every contestant
carries it and the stand-in keeps no state. The format is OpenAI's, as in `tests/samples/openai`.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MODEL = "gpt-4o-mini"
TOKEN_MARK = b"~"  # once in the text of each token and nowhere else, to count tokens in any framing
STAMP_MARK = b"@"  # around the sending time of the last token, and nowhere else
WORDS = (
    " the", " tide", " comes", " twice", " a", " day", ",", " because", " the", " moon", " pulls", " the", " sea",
    " 満ちる", " and", " the", " earth", " turns", " beneath", " it", ".",
)  # fmt: skip
_PLAN = re.compile(rb"plan (\d+) tokens, (\d+) in 1000 s, clumps up to (\d+)")
_FIXED: dict[str, Any] = {
    "id": "chatcmpl-CnBenchmarkBenchmarkBenchmark",
    "object": "chat.completion.chunk",
    "created": 1765879680,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_644f11dd4d",
}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 60,
    "total_tokens": 80,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-type: %s\r\n"
    b"openai-organization: org-benchmark\r\nopenai-processing-ms: 300\r\nopenai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\n"
    b"x-request-id: req_00000000000000000000000000000001\r\n%s\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a stream: number of tokens, tokens a second, and most tokens in one write."""

    tokens: int
    a_second: float
    clump: int = 1

    def prompt(self) -> str:
        """Return the question that requests it."""
        pace = f"{self.a_second * 1000:.0f} in 1000 s"
        return f"Tell me of the tides: plan {self.tokens} tokens, {pace}, clumps up to {self.clump}"


def read_plan(body: bytes) -> Plan | None:
    """Return the plan in a request's body, or None for a whole answer."""
    found = _PLAN.search(body)
    return Plan(int(found[1]), int(found[2]) / 1000, int(found[3])) if found else None


def post(path: str, body: dict[str, Any], key: str) -> bytes:
    """Return a request as a browser sends it, with a token."""
    content = json.dumps(body, separators=(",", ":")).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: gpt.example.com\r\nOrigin: https://app.example.com\r\n"
        f"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36\r\n"
        f"Accept: */*\r\nAccept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate, br\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content


def _json(content: object) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _event(delta: dict[str, Any], finish_reason: str | None = None, padding: str = "bFd3AyW") -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    content = {**_FIXED, "choices": [choice], "usage": None, "obfuscation": padding}
    return _framed(b"data: " + _json(content) + b"\n\n")


def _whole() -> bytes:
    text = "".join(WORDS * 3)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    content = _json({**_FIXED, "object": "chat.completion", "choices": [choice], "usage": USAGE})
    return _head(b"application/json", b"content-length: %d" % len(content)) + content


def _head(content_type: bytes, framing: bytes) -> bytes:
    return _HEAD % (content_type, framing)


def _conversation(size: int) -> list[dict[str, Any]]:
    """A conversation in turns of 2 KB, of about `size` bytes."""
    turn = ("The tide comes twice a day, because the moon pulls the sea. 満ちる " * 40)[:1_990]
    return [{"role": ("user", "assistant")[at % 2], "content": turn} for at in range(size // 2_048 | 1)]


def _image(size: int) -> list[dict[str, Any]]:
    """A question about an image of `size` bytes in base64."""
    url = "data:image/jpeg;base64," + "/9j4AAQSkZJRgABAQAAAQABAAD2wBDAAgGBgcGBQgHBwcJ" * (size // 48)
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


CONVERSATIONS = {"a conversation of 100 KB": _conversation(100_000), "an image of 2 MB": _image(2_000_000)}
MODELS = _head(b"application/json", b"content-length: 27") + b'{"object":"list","data":[]}'
WHOLE_ANSWER = _whole()
STREAM_BEGIN = _head(b"text/event-stream; charset=utf-8", b"transfer-encoding: chunked") + _event(
    {"role": "assistant", "content": "", "refusal": None}
)
# padding complements the word
TOKENS = tuple(_event({"content": TOKEN_MARK.decode() + word}, padding="bFd3AyWkq"[len(word) :]) for word in WORDS)
STREAM_END = (
    _event({}, "stop")
    + _framed(b"data: " + _json({**_FIXED, "choices": [], "usage": USAGE, "obfuscation": "parVcHlnsA"}) + b"\n\n")
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


def last_token(now_ns: int) -> bytes:
    """Return the event of the last token, which carries its sending time (monotonic clock, ns)."""
    mark = STAMP_MARK.decode()
    return _event({"content": f"{TOKEN_MARK.decode()} {mark}{now_ns}{mark}"})
