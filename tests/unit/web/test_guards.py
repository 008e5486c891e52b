"""The guards, and that every endpoint has one."""

import json

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
    """Families that admit everyone name a guard too, so none is forgotten."""
    app = make_app()
    for name in app.blueprints:
        assert len([hook for hook in app.before_request_funcs[name] if hook in GUARDS]) == 1, name


def test_only_the_operators_endpoints_are_open() -> None:
    """All others refuse a request without a token, with every method."""
    app = make_app()
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            status = app.test_client().open(rule.rule, method=method).status_code
            assert (status == 401) == (rule.rule not in OPEN), rule.rule


def test_guards_check_the_token_then_the_limits_then_the_body() -> None:
    """The order is 401, then 429, then 400."""
    client = make_client(DAILY_LIMIT="0")
    assert client.post("/gpt-4o", data="{}").status_code == 401
    refused = client.post("/gpt-4o", data="{}", headers=bearer())
    assert (refused.status_code, refused.json and refused.json["error"]) == (429, "GPT Rate limit exceeded.")
    assert make_client().post("/gpt-4o", data="{}", headers=bearer()).status_code == 400


def test_a_refused_body_is_given_back_before_the_answer(redis: fakeredis.FakeRedis) -> None:
    """The answer's header fields already show it."""
    client = make_client(redis)
    ada = bearer("ada")
    for _ in range(3):
        refused = client.post("/gpt-4o", data="{}", headers=ada)
        assert refused.headers["RateLimit"].startswith('"daily";r=50;t=')
    assert refused.headers["RateLimit-Policy"] == '"daily";q=50;w=86400'


@responses.activate
def test_an_answer_costs_one_call() -> None:
    """The header fields show the rest."""
    responses.post(URL, json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    client, ada = make_client(), bearer("ada")
    left = [client.post("/gpt-4o", json={"messages": "hi"}, headers=ada).headers["RateLimit"] for _ in range(2)]
    assert [text.split(";")[1] for text in left] == ["r=49", "r=48"]


@pytest.fixture
def client() -> FlaskClient:
    return make_client(DAILY_LIMIT="0")


def test_a_refusal_says_when_the_day_turns(client: FlaskClient) -> None:
    """It has seconds and a time, and asks SDKs not to retry."""
    refused = client.post("/gpt-4o", data="{}", headers=bearer())
    assert refused.json
    assert refused.json["limit"] == 0
    assert refused.json["resets_at"].endswith("T00:00:00+00:00")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["x-should-retry"] == "false"
    assert refused.headers["RateLimit"] == f'"daily";r=0;t={refused.headers["Retry-After"]}'


def test_a_head_request_costs_nothing() -> None:
    """Flask would answer it like GET."""
    refused = make_client().head("/simple-gpt-4o-mini-complete?prompt=hi", headers=bearer())
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, OPTIONS")


def test_every_counted_view_has_a_reader() -> None:
    """The guard runs it before the reservation: a view without a reader would be counted without its cost."""
    app = make_app()
    counted = [name for name, hooks in app.before_request_funcs.items() if guards.counted in hooks]
    views = [view for endpoint, view in app.view_functions.items() if endpoint.rpartition(".")[0] in counted]
    assert len(views) > 4
    assert all(callable(getattr(view, "reader", None)) for view in views)


WHOLE = {
    "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}


@responses.activate
def test_usage_is_charged_and_the_rest_of_the_reservation_released() -> None:
    """Header fields and /v1/usage show tokens and dollars."""
    responses.post(URL, json=WHOLE)
    client, ada = make_client(DAILY_TOKENS="50000", DAILY_SPEND="1"), bearer("ada")
    answer = client.post("/gpt-4o", json={"messages": "hi"}, headers=ada)
    assert answer.headers["RateLimit-Policy"] == '"daily";q=50;w=86400, "daily-tokens";q=50000;w=86400;qu="tokens"'
    assert answer.headers["RateLimit"].split(";t=")[1].endswith('"daily-tokens";r=49988')
    client.application.extensions["gpt-broker"].quota.close()  # Redis knows now
    day = client.get("/v1/usage", headers=ada).get_json()
    assert day["tokens"] == {"limit": 50_000, "used": 12, "reserved": 0, "remaining": 49_988}
    assert day["dollars"] == {"limit": 1, "used": 0.000045, "reserved": 0, "remaining": 0.999955}


@responses.activate
@pytest.mark.parametrize("path", ["/gpt-4o", "/v1/chat/completions"])
def test_an_answer_is_bounded_to_the_rest(path: str) -> None:
    """Half of it is granted, for a second tab; without a limit the older endpoints send no bound."""
    asked = responses.post(URL, json=WHOLE)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    make_client(DAILY_TOKENS="2000").post(path, json=body, headers=bearer())
    bound = json.loads(asked.calls[0].request.body)["max_completion_tokens"]
    assert 950 < bound <= 1_000
    make_client(DAILY_TOKENS="2000", BUDGETS="watch").post("/gpt-4o", json=body, headers=bearer())
    make_client().post("/gpt-4o", json=body, headers=bearer())
    assert all("max_completion_tokens" not in json.loads(call.request.body) for call in list(asked.calls)[1:])


@pytest.mark.parametrize(
    ("limit", "code", "limited"),
    [
        ({"DAILY_TOKENS": "100"}, "daily_tokens_exceeded", "tokens"),
        ({"DAILY_SPEND": "0.001"}, "daily_spend_exceeded", "spend"),
        ({"DAILY_LIMIT": "0"}, "daily_limit_exceeded", "calls"),
    ],
)
def test_a_refusal_names_the_limit_and_the_rest(limit: dict[str, str], code: str, limited: str) -> None:
    """It says when the limit resets. Below MIN_OUTPUT_TOKENS the call is refused."""
    refused = make_client(None, **limit).post("/gpt-4o", json={"messages": "hi"}, headers=bearer())
    assert refused.status_code == 429
    body = refused.get_json()
    assert (body["error"], body["code"], body["limited"]) == ("GPT Rate limit exceeded.", code, limited)
    assert body["remaining"] == body["limit"] == float(*limit.values())
    assert body["resets_at"].endswith("T00:00:00+00:00")
    assert refused.headers["x-should-retry"] == "false"


@responses.activate
def test_a_burnt_fuse_is_a_503_until_the_day_turns(redis: fakeredis.FakeRedis) -> None:
    """The 503 is for all users, and no call is counted, as its own fields say; /ready stays up and shows it."""
    responses.post(URL, json=WHOLE)
    client, ada = make_client(redis, TENANT_DAILY_SPEND="0.0001"), bearer("ada")
    refused = client.post("/gpt-4o", json={"messages": "hi"}, headers=ada)
    assert (refused.status_code, refused.get_json()["code"]) == (503, "tenant_budget_exhausted")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["RateLimit"].startswith('"daily";r=50;t=')
    assert refused.headers["RateLimit-Policy"] == '"daily";q=50;w=86400'
    assert refused.headers["x-should-retry"] == "false"
    assert [call for call in responses.calls if call.request.url == URL] == []
    assert client.get("/v1/usage", headers=ada).get_json()["used"] == 0
    ready = client.get("/ready").get_json()
    assert ready["parts"]["budget"] == "exhausted"
    workers = client.application.extensions["gpt-broker"].settings.web_concurrency
    overspend = pytest.approx(workers * 0.000001)
    assert ready["tenant_budget"] == {"limit": 0.0001, "spent": 0.0, "worst_overspend_of_a_replica": overspend}


@responses.activate
def test_a_watched_limit_is_answered(redis: fakeredis.FakeRedis, caplog: pytest.LogCaptureFixture) -> None:
    """No limit of amounts refuses the call; the metric and the log line name those that would have."""
    caplog.set_level("INFO", "broker.request")
    responses.post(URL, json=WHOLE)
    limits = {"DAILY_TOKENS": "1", "DAILY_SPEND": "0", "TENANT_DAILY_SPEND": "0"}
    client = make_client(redis, BUDGETS="watch", **limits)
    assert client.post("/gpt-4o", json={"messages": "hi"}, headers=bearer("ada")).status_code == 200
    text = client.get("/metrics").text
    for limit in ("tokens", "spend", "tenant"):
        assert f'gpt_broker_budget_refusals_total{{limit="{limit}",mode="watched"}} 1.0' in text
    (line,) = (vars(record) for record in caplog.records if record.message == "request")
    assert line["would_refuse"] == ("tenant", "tokens", "spend")


@responses.activate
def test_within_the_limits_the_log_names_none(caplog: pytest.LogCaptureFixture) -> None:
    """A watched call that no limit would have refused is logged as any other."""
    responses.post(URL, json=WHOLE)
    caplog.set_level("INFO", "broker.request")
    client = make_client(BUDGETS="watch", DAILY_TOKENS="100000", DAILY_SPEND="1")
    assert client.post("/gpt-4o", json={"messages": "hi"}, headers=bearer("ada")).status_code == 200
    assert all("would_refuse" not in vars(record) for record in caplog.records)


PRO = '{"plans": {"pro": {"calls": 1, "models": ["gpt-4o-mini"]}, "basic": {"calls": 2}}}'


@responses.activate
def test_a_plan_of_the_token_decides() -> None:
    """Its calls and models apply; `user_metadata` has no effect."""
    responses.post(URL, json=WHOLE)
    client = make_client(PLANS=PRO)
    pro = bearer("ada", app_metadata={"plan": "pro"})
    refused = client.post("/gpt-4o", json={"messages": "hi"}, headers=pro)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "model_not_in_plan")
    assert client.get("/v1/usage", headers=pro).get_json()["plan"] == "pro"
    url = "/simple-gpt-4o-mini-complete?prompt=hi"
    assert [client.get(url, headers=pro).status_code for _ in range(2)] == [200, 429]
    assert client.get(url, headers=bearer("ada", app_metadata={"plan": "basic"})).status_code == 200  # their next token
    other = bearer("grace", user_metadata={"plan": "pro"})
    assert client.get("/v1/usage", headers=other).get_json()["plan"] == "default"


@pytest.mark.parametrize(("allowed", "status"), [("", 403), ("tide-app", 200), ("*", 200), ("other", 403)])
def test_a_token_of_an_unlisted_app_is_refused(allowed: str, status: int) -> None:
    """The app would spend this user's calls, so the operator must list it."""
    answer = make_client(OAUTH_CLIENTS=allowed).get("/v1/usage", headers=bearer("ada", client_id="tide-app"))
    assert answer.status_code == status
    assert status == 200 or answer.get_json()["error"]["code"] == "oauth_client_refused"
