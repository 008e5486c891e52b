"""Hostile JSON against the reader of bodies, and against the whole app."""

import json
import time

import pytest
from flask.testing import FlaskClient

from broker import strict_json
from broker.errors.base import CallerFault
from tests.apps import bearer, make_client
from tests.hostile.json_bodies import TEMPERATURES, bodies, message

COST = 0.05  # seconds of processor time
TRIES = 5  # of which the cheapest counts
BODIES = bodies(2 * 1024 * 1024)  # bytes; the real server is measured with the largest, and without a client's share
WITHOUT_TEMPERATURE = ["/v1/chat/completions", "/advanced-gpt-4o-mini-complete"]  # or leave it to OpenAI
PATHS = ["/gpt-4o", "/stream", *WITHOUT_TEMPERATURE]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_client(DAILY_LIMIT="1000000")


def refused(client: FlaskClient, path: str, body: bytes) -> float:
    """Post it, and have it refused; the processor seconds that took."""
    headers, started = bearer(), time.process_time()
    response = client.post(path, data=body, headers=headers)
    cost = time.process_time() - started
    assert 400 <= response.status_code < 500, response.data
    said = response.get_json()
    assert said.get("code") or said["error"]["code"]
    assert response.headers["RateLimit"].startswith('"daily";r=1000000;')
    return cost


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in BODIES for path in PATHS if not (name in TEMPERATURES and path in WITHOUT_TEMPERATURE)],
)
def test_hostile_json_is_refused(client: FlaskClient, name: str, path: str) -> None:
    """With a caller's error, for nothing, and at little cost, whatever endpoint it is sent to."""
    assert any(refused(client, path, BODIES[name]) < COST for _ in range(TRIES))


@pytest.mark.parametrize(("body", "value"), [
    (b"[]", []), (b"\xef\xbb\xbf{}", {}), (b' {"a": [1, 2.5, null, true]} ', {"a": [1, 2.5, None, True]}),
    ('"満ちる 🌊"'.encode(), "満ちる 🌊"), (b'"\\ud83c\\udf0a"', "🌊"), (b'"\\\\ud83c"', "\\ud83c"),
    (b'{"a": {"a": {"a": 1}}}', {"a": {"a": {"a": 1}}}), (b"[" * 64 + b"]" * 64, None),
])  # fmt: skip
def test_good_json_is_read_as_it_is(body: bytes, value: object) -> None:
    """Also with a byte order mark, with pairs of escapes, with what looks like one, and as deep as may be."""
    assert strict_json.read(body) == (value if value is not None else json.loads(body))


@pytest.mark.parametrize("body", [b"\x0b{}", b"{}\x0c ", b" \x0b ", b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\0{}"])
def test_space_that_is_none_of_jsons_is_refused(body: bytes) -> None:
    """RFC 8259, 2, knows four kinds of it."""
    with pytest.raises(CallerFault):
        strict_json.read(body)


def test_a_long_text_is_one_value() -> None:
    """A picture, or a table with more commas than a body may have values."""
    for text in ("data:image/png;base64," + "iVBORw0K" * 500_000, "1,2,[3],{4}\n" * 50_000, '"quoted", ' * 50_000):
        body = message(json.dumps(text).encode())
        assert strict_json.read(body)["messages"][0]["content"] == text


def test_a_long_talk_is_read() -> None:
    """A thousand messages of several parts are far from the bound."""
    talk = [{"role": "user", "content": [{"type": "text", "text": "x"}] * 5}] * 1000
    assert strict_json.read(json.dumps(talk).encode()) == talk


@pytest.mark.parametrize(
    "body", [b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" + b"0," * 50_000 + b"0]"]
)
def test_one_too_many_is_refused(body: bytes) -> None:
    """Levels, or values."""
    with pytest.raises(CallerFault, match="at most"):
        strict_json.read(body)
