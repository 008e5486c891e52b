"""Who may pass, and that no endpoint forgot to ask."""

import fakeredis
import pytest
import responses
from flask.testing import FlaskClient

from broker.web import guards
from tests.apps import OPENAI, bearer, make_app, make_client

URL = OPENAI + "/chat/completions"
GUARDS = {guards.anyone, guards.listed_network, guards.signed_in, guards.counted}
OPEN = {"/health", "/ready", "/metrics", "/openapi.json"}


def test_every_family_names_exactly_one_guard() -> None:
    """Also the one that lets anyone in: nobody forgets by saying nothing."""
    app = make_app()
    for name in app.blueprints:
        assert len([hook for hook in app.before_request_funcs[name] if hook in GUARDS]) == 1, name


def test_only_the_operators_endpoints_are_open() -> None:
    """All others refuse a caller without a token, whatever the method that they know."""
    app = make_app()
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            status = app.test_client().open(rule.rule, method=method).status_code
            assert (status == 401) == (rule.rule not in OPEN), rule.rule


def test_who_comes_before_how_often_before_what() -> None:
    """401, then 429, then 400."""
    client = make_client(DAILY_LIMIT="0")
    assert client.post("/gpt-4o", data="{}").status_code == 401
    refused = client.post("/gpt-4o", data="{}", headers=bearer())
    assert (refused.status_code, refused.json and refused.json["error"]) == (429, "GPT Rate limit exceeded.")
    assert make_client().post("/gpt-4o", data="{}", headers=bearer()).status_code == 400


def test_a_refused_body_is_given_back_before_the_answer(redis: fakeredis.FakeRedis) -> None:
    """The standing in the answer is already the one after."""
    client = make_client(redis)
    ada = bearer("ada")
    for _ in range(3):
        refused = client.post("/gpt-4o", data="{}", headers=ada)
        assert refused.headers["RateLimit"].startswith('"daily";r=50;t=')
    assert refused.headers["RateLimit-Policy"] == '"daily";q=50;w=86400'


@responses.activate
def test_an_answer_costs_one_call() -> None:
    """And says what is left."""
    responses.post(URL, json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    client, ada = make_client(), bearer("ada")
    left = [client.post("/gpt-4o", json={"messages": "hi"}, headers=ada).headers["RateLimit"] for _ in range(2)]
    assert [text.split(";")[1] for text in left] == ["r=49", "r=48"]


@pytest.fixture
def client() -> FlaskClient:
    return make_client(DAILY_LIMIT="0")


def test_a_refusal_says_when_the_day_turns(client: FlaskClient) -> None:
    """In seconds, and as a time; and asks SDKs not to try again by themselves."""
    refused = client.post("/gpt-4o", data="{}", headers=bearer())
    assert refused.json
    assert refused.json["limit"] == 0
    assert refused.json["resets_at"].endswith("T00:00:00+00:00")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["RateLimit"] == f'"daily";r=0;t={refused.headers["Retry-After"]}'


def test_a_head_request_costs_nothing() -> None:
    """Flask would let it follow GET."""
    refused = make_client().head("/simple-gpt-4o-mini-complete?prompt=hi", headers=bearer())
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, OPTIONS")
