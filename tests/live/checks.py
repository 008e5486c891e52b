"""Checks of a running broker: the contract as a signed-in user sees it. Each call costs few tokens."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from tests.live.target import Target, Wrong

SHORT = [{"role": "user", "content": "Answer with the one word: tide"}]
LONG = [{"role": "user", "content": "Count from one to forty, in words, separated by spaces. Nothing else."}]
POSTS = ("/advanced-gpt-4o-mini-complete", "/v2/advanced-gpt-4o-mini-complete", "/gpt-4o", "/stream")
PAGE = "https://page.example"  # another origin
STRANGER = "203.0.113.9"  # reserved for documentation, RFC 5737
# the headers that the official OpenAI and Supabase SDKs send from a browser
SDK_HEADERS = "authorization,content-type,apikey,x-client-info,x-stainless-lang,x-stainless-retry-count"
NO_MESSAGES = "Missing required 'messages' in body of request"
INCOMPLETE = "each 'message' object must have a 'role' and 'content' property"


@dataclass(frozen=True)
class Check:
    """One check. `calls`: the number of the user's daily calls that it uses."""

    title: str
    run: Callable[[Target], None]
    calls: int
    is_quick: bool
    needs_user: bool


CHECKS: list[Check] = []


def check(
    title: str, *, calls: int = 0, quick: bool = False, user: bool = False
) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Register a check, which raises `Wrong` or an exception of `requests`."""

    def register(run: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS.append(Check(title, run, calls, quick, user or calls > 0))
        return run

    return register


def expect(subject: str, expected: object, found: object) -> None:
    """Raise `Wrong` if the values differ."""
    if expected != found:
        raise Wrong(f"{subject}: expected {expected!r}, got {found!r}")


def expect_error(response: requests.Response, status: int, sentence: str) -> None:
    """Raise `Wrong` unless the response is this error in the contract's format."""
    body = json_of(response)
    expect("status", (status, sentence), (response.status_code, body.get("error")))
    if "message" not in body or body["message"] is not None or not body.get("code"):
        raise Wrong("the error body lacks 'message': null or 'code'")


def json_of(response: requests.Response) -> dict[str, Any]:
    """Parse the body as a JSON object. Raises `Wrong`."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Wrong(f"the response ({response.status_code}) is not a JSON object")
    return body


def left(response: requests.Response) -> int:
    """The calls that the user has left today. Raises `Wrong`."""
    field = response.headers.get("RateLimit", "")
    if '"daily";r=' not in field:
        raise Wrong("the response has no RateLimit header")
    return int(field.partition(";r=")[2].partition(";")[0])


def expect_text(response: requests.Response) -> str:
    """Return the text of a 200; it must be trimmed. Raises `Wrong`."""
    if response.status_code == 429:
        raise Wrong("the user has no calls left today: add their id to ID_WHITE_LIST")
    expect("status", 200, response.status_code)
    if not response.text or response.text != response.text.strip():
        raise Wrong("the text is empty or not trimmed")
    return response.text


@check("it is alive", quick=True)
def _alive(target: Target) -> None:
    response = target.call("GET", "/health")
    expect("GET /health", (200, "OK"), (response.status_code, response.text))


@check("it is ready, and /ready is closed to the public", quick=True)
def _ready(target: Target) -> None:
    response = target.call("GET", "/ready")
    if target.is_direct:
        expect("GET /ready", (200, True), (response.status_code, json_of(response).get("ready")))
    else:
        expect("GET /ready from outside is refused", True, response.status_code in (403, 404))


@check("/metrics is closed to the public", quick=True)
def _metrics(target: Target) -> None:
    forged: list[dict[str, str]] = [{"X-Forwarded-For": STRANGER}, {"X-Real-IP": STRANGER}]
    if not target.is_direct:
        forged = [{}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}]
    for headers in forged:
        response = target.call("GET", "/metrics", headers=headers)
        if response.status_code not in (403, 404) or "gpt_broker_" in response.text:
            raise Wrong(f"GET /metrics with {headers or 'no headers'} returns {response.status_code}")


@check("a call without a token is refused", quick=True)
def _no_token(target: Target) -> None:
    answers = [target.call("GET", "/simple-gpt-4o-mini-complete"), *(target.call("POST", path) for path in POSTS)]
    for response in answers:
        expect_error(response, 401, "Authorization header is required")


@check("a call with an invalid token is refused", quick=True)
def _bad_token(target: Target) -> None:
    tokens = ["nonsense", "eyJhbGciOiJub25lIn0.e30."] + [
        key for name, key in target.account.items() if name.endswith("ANON_KEY")
    ]
    for token in tokens:
        response = target.call("POST", "/gpt-4o", headers={"Authorization": f"Bearer {token}"})
        expect_error(response, 401, "Invalid or expired token")


@check("unknown paths and methods are refused", quick=True)
def _unknown(target: Target) -> None:
    expect_error(target.call("GET", "/no-such-endpoint"), 404, "Endpoint not found")
    response = target.call("DELETE", "/gpt-4o")
    expect("DELETE /gpt-4o", (405, True), (response.status_code, bool(json_of(response).get("error"))))


@check("pages on other origins may call", quick=True)
def _cors(target: Target) -> None:
    headers = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": SDK_HEADERS,
    }
    response = target.call("OPTIONS", "/stream", headers=headers)
    allowed = response.headers.get("Access-Control-Allow-Headers", "").replace(" ", "").lower().split(",")
    refused = set(SDK_HEADERS.split(",")) - set(allowed)
    expect("preflight", (True, set()), (response.status_code in (200, 204), refused))
    if "Access-Control-Max-Age" not in response.headers:
        raise Wrong("the preflight is not cached: no Access-Control-Max-Age")
    if response.headers.get("Access-Control-Allow-Origin") == "*":  # otherwise the operator lists origins
        error = target.call("POST", "/gpt-4o", headers={"Origin": PAGE})
        expect("errors are readable", "*", error.headers.get("Access-Control-Allow-Origin"))


@check("the user signs in with email and password", quick=True, user=True)
def _sign_in(target: Target) -> None:
    target.sign_in()


@check("a stream streams", calls=1, quick=True)
def _stream(target: Target) -> None:
    started = time.monotonic()
    response = target.signed_in("POST", "/stream", json={"messages": LONG, "model": "gpt-4o-mini"}, stream=True)
    if response.status_code != 200:
        expect_text(response)
    arrivals: list[float] = []
    lines: list[dict[str, str]] = []
    for line in response.iter_lines(chunk_size=None):
        arrivals.append(time.monotonic() - started)
        lines.append(json.loads(line))
    if any(list(line) != ["data"] for line in lines) or not "".join(line["data"] for line in lines).strip():
        raise Wrong("the stream is empty or contains lines other than data lines")
    if len(arrivals) < 5 or arrivals[-1] - arrivals[0] < 0.2:
        raise Wrong(f"{len(arrivals)} lines arrived within {arrivals[-1] - arrivals[0]:.2f} s: a proxy buffers")


@check("simple: the completion of a prompt as text", calls=1)
def _simple(target: Target) -> None:
    expect_text(target.signed_in("GET", "/simple-gpt-4o-mini-complete", params={"prompt": SHORT[0]["content"]}))


@check("advanced: a bare array, as the apps send it, is answered and counted", calls=1)
def _advanced(target: Target) -> None:
    before = left(target.signed_in("POST", "/gpt-4o", json={}))
    response = target.signed_in("POST", "/advanced-gpt-4o-mini-complete", json=SHORT)
    expect_text(response)
    is_exempt = f"q={before};" in response.headers.get(
        "RateLimit-Policy", ""
    )  # an exempt user always has the whole limit left
    if left(response) != before - 1 and not (is_exempt and left(response) == before):
        raise Wrong(f"{before} calls were left before and {left(response)} after")


@check("v2: JSON, with a temperature", calls=1)
def _v2(target: Target) -> None:
    body = {"messages": SHORT, "temperature": 0.1}
    response = target.signed_in("POST", "/v2/advanced-gpt-4o-mini-complete", json=body)
    expect_text_in_json(response)


@check("gpt-4o: JSON, messages as a string", calls=1)
def _gpt_4o(target: Target) -> None:
    expect_text_in_json(target.signed_in("POST", "/gpt-4o", json={"messages": json.dumps(SHORT)}))


def expect_text_in_json(response: requests.Response) -> None:
    """Check for a 200 with `{"message": "…"}`. Raises `Wrong`."""
    expect("status", 200, response.status_code)
    if not str(json_of(response).get("message") or "").strip():
        raise Wrong("the message is empty")


@check("/v1: usage and models, which are not counted", user=True)
def _v1_free(target: Target) -> None:
    day = json_of(target.signed_in("GET", "/v1/usage"))
    if not day.get("exempt"):
        expect("limit", day.get("limit"), day.get("used", 0) + day.get("remaining", 0))
    listed = {str(model.get("id")) for model in json_of(target.signed_in("GET", "/v1/models")).get("data", [])}
    expect("models", set(), {"gpt-4o", "gpt-4o-mini"} - listed)
    expect("calls used", day.get("used"), json_of(target.signed_in("GET", "/v1/usage")).get("used"))


@check("/v1: OpenAI's own stream", calls=1)
def _v1_stream(target: Target) -> None:
    body = {"model": "gpt-4o-mini", "messages": SHORT, "stream": True, "max_completion_tokens": 16}
    response = target.signed_in("POST", "/v1/chat/completions", json=body)
    events = [line for line in response.text.split("\n\n") if line.startswith("data: ")]
    expect("status and last event", (200, "data: [DONE]"), (response.status_code, events[-1] if events else None))
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    if not text.strip():
        raise Wrong("the stream has no text")


@check("invalid requests are refused and not counted", user=True)
def _wrong_requests(target: Target) -> None:
    before = left(target.signed_in("POST", "/gpt-4o", json={}))
    simple = target.signed_in("GET", "/simple-gpt-4o-mini-complete")
    expect_error(simple, 400, "Missing required 'prompt' query parameter")
    for path in POSTS:
        expect_error(target.signed_in("POST", path), 400, NO_MESSAGES)
        body = {"messages": 7, "model": "gpt-4o"}
        expect_error(target.signed_in("POST", path, json=body), 400, "'messages' must be an array")
        body = {"messages": [{"role": "user"}], "model": "gpt-4o"}
        expect_error(target.signed_in("POST", path, json=body), 400, INCOMPLETE)
    hot = target.signed_in("POST", "/gpt-4o", json={"messages": SHORT, "temperature": 2})
    expect_error(hot, 400, "'temperature' must be a number between [0, 1]")
    model = target.signed_in("POST", "/stream", json={"messages": SHORT, "model": "gpt-2"})
    expect_error(model, 400, "'model' must be one of gpt-4o,gpt-4o-mini")
    expect("calls left", before, left(model))
