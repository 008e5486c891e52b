"""Hostile JSON against the body parser, and against the whole app."""

import json
import time

import pytest
from flask.testing import FlaskClient

from broker import strict_json
from broker.errors.base import CallerFault
from tests.apps import bearer, make_client
from tests.hostile.json_bodies import TEMPERATURES, bodies, message

COST = 0.05  # seconds of processor time
TRIES = 5  # the cheapest counts
BODIES = bodies(2 * 1024 * 1024)  # bytes; test_hostile_callers measures the real server with the largest bodies
WITHOUT_TEMPERATURE = [
    "/v1/chat/completions",
    "/advanced-gpt-4o-mini-complete",
]  # or with a temperature that only OpenAI checks
PATHS = ["/gpt-4o", "/stream", *WITHOUT_TEMPERATURE]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_client(DAILY_LIMIT="1000000")


def refused(client: FlaskClient, path: str, body: bytes) -> float:
    """Post the body, check that it is refused, and return the processor time in seconds."""
    headers, started = bearer(), time.process_time()
    response = client.post(path, data=body, headers=headers)
    cost = time.process_time() - started
    assert 400 <= response.status_code < 500, response.data
    content = response.get_json()
    assert content.get("code") or content["error"]["code"]
    assert response.headers["RateLimit"].startswith('"daily";r=1000000;')
    return cost


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in BODIES for path in PATHS if not (name in TEMPERATURES and path in WITHOUT_TEMPERATURE)],
)
def test_hostile_json_is_refused(client: FlaskClient, name: str, path: str) -> None:
    """Every endpoint answers with a caller's error, at no charge to the user and at little cost."""
    assert any(refused(client, path, BODIES[name]) < COST for _ in range(TRIES))


@pytest.mark.parametrize(("body", "value"), [
    (b"[]", []), (b"\xef\xbb\xbf{}", {}), (b' {"a": [1, 2.5, null, true]} ', {"a": [1, 2.5, None, True]}),
    ('"満ちる 🌊"'.encode(), "満ちる 🌊"), (b'"\\ud83c\\udf0a"', "🌊"), (b'"\\\\ud83c"', "\\ud83c"),
    (b'{"a": {"a": {"a": 1}}}', {"a": {"a": {"a": 1}}}), (b"[" * 64 + b"]" * 64, None),
])  # fmt: skip
def test_valid_json_is_read_unchanged(body: bytes, value: object) -> None:
    """A byte order mark, surrogate escapes, escaped backslashes and the greatest depth are valid."""
    assert strict_json.read(body) == (value if value is not None else json.loads(body))


@pytest.mark.parametrize("body", [b"\x0b{}", b"{}\x0c ", b" \x0b ", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\0{}"])
def test_other_white_space_than_jsons_is_refused(body: bytes) -> None:
    """RFC 8259, section 2, allows four characters."""
    with pytest.raises(CallerFault):
        strict_json.read(body)


def test_a_long_string_is_one_value() -> None:
    """It may be an image, or a table with more commas than the greatest number of values."""
    for text in ("data:image/png;base64," + "iVBORw0K" * 500_000, "1,2,[3],{4}\n" * 50_000, '"quoted", ' * 50_000):
        body = message(json.dumps(text).encode())
        assert strict_json.read(body)["messages"][0]["content"] == text


def test_escaped_texts_are_read_up_to_a_bound_that_is_named() -> None:
    """An escaped emoji is twelve bytes and two escapes."""
    text = "🌊" * 990_000
    assert strict_json.read(message(json.dumps(text).encode()))["messages"][0]["content"] == text
    with pytest.raises(CallerFault, match="2000000 escaped characters at most; send UTF-8"):
        strict_json.read(message(json.dumps("🌊" * 1_300_000).encode()))


def test_a_long_conversation_is_read() -> None:
    """A thousand messages of five parts are far below the bound."""
    conversation = [{"role": "user", "content": [{"type": "text", "text": "x"}] * 5}] * 1000
    assert strict_json.read(json.dumps(conversation).encode()) == conversation


@pytest.mark.parametrize(
    "body", [b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" + b"0," * 50_000 + b"0]"]
)
def test_one_more_than_the_bound_is_refused(body: bytes) -> None:
    """Levels and values have a bound."""
    with pytest.raises(CallerFault, match="at most"):
        strict_json.read(body)
