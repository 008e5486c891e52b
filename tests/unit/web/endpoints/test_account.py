"""A user's usage and models."""

import datetime

import fakeredis
import pytest

from tests.apps import bearer, make_client

ADA = "11111111-1111-4111-8111-111111111111"


def test_a_user_sees_their_day(redis: fakeredis.FakeRedis) -> None:
    """Body and header fields show it. Looking costs nothing."""
    client = make_client(redis)
    for _ in range(2):
        answer = client.get("/v1/usage", headers=bearer(ADA))
        day = answer.get_json()
        resets_at = datetime.datetime.fromisoformat(day.pop("resets_at"))
        assert day == {
            "object": "usage", "limit": 50, "used": 0, "remaining": 50, "exempt": False, "plan": "default",
            "calls": {"limit": 50, "used": 0, "reserved": 0, "remaining": 50},
            "tokens": {"limit": None, "used": 0, "reserved": 0, "remaining": None},
            "dollars": {"limit": None, "used": 0, "reserved": 0, "remaining": None},
        }  # fmt: skip
        assert resets_at.time() == datetime.time(0)
        assert 0 < (resets_at - datetime.datetime.now(datetime.UTC)).total_seconds() <= 86_400
        assert answer.headers["RateLimit"].startswith('"daily";r=50;t=')


def test_a_user_over_the_limit_can_still_look() -> None:
    """The usage is needed most at the limit."""
    answer = make_client(DAILY_LIMIT="0").get("/v1/usage", headers=bearer(ADA))
    assert answer.status_code == 200
    assert answer.json
    assert (answer.json["limit"], answer.json["remaining"]) == (0, 0)


def test_the_usage_of_an_exempt_user_says_so() -> None:
    """The whole limit is always left."""
    answer = make_client(ID_WHITE_LIST=f'["{ADA}"]').get("/v1/usage", headers=bearer(ADA))
    assert answer.json
    assert (answer.json["exempt"], answer.json["remaining"]) == (True, 50)


def test_the_models_are_the_operators() -> None:
    """They have the names that clients use, regardless of the model behind them."""
    client = make_client(MODELS='{"gpt-4o": "gpt-6-luna", "gpt-4o-mini": "gpt-6-luna", "org/tide": "gpt-6-luna"}')
    listed = client.get("/v1/models", headers=bearer()).json
    assert listed
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["gpt-4o", "gpt-4o-mini", "org/tide"]
    assert all("/v1/chat/completions" in model["endpoints"] for model in listed["data"])
    for model in listed["data"]:
        assert client.get(f"/v1/models/{model['id']}", headers=bearer()).json == model


def test_a_user_sees_the_models_of_their_plan() -> None:
    """Other models get a 404. A plan without `models` allows all."""
    client = make_client(PLANS='{"plans": {"pro": {"models": ["gpt-4o-mini"]}, "basic": {"calls": 5}}}')
    pro = bearer("ada", app_metadata={"plan": "pro"})
    for headers, names in (
        (pro, ["gpt-4o-mini"]),
        (bearer("grace", app_metadata={"plan": "basic"}), ["gpt-4o", "gpt-4o-mini"]),
        (bearer("linus"), ["gpt-4o", "gpt-4o-mini"]),
    ):
        assert [model["id"] for model in client.get("/v1/models", headers=headers).get_json()["data"]] == names
    unknown = client.get("/v1/models/gpt-4o", headers=pro)
    assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (404, "model_not_found")
    assert client.get("/v1/models/gpt-4o-mini", headers=pro).status_code == 200


def test_a_model_has_the_shutdown_date_of_the_model_behind_it() -> None:
    """OpenAI's list provides the date."""
    client = make_client(MODELS='{"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-6-luna"}')
    client.application.extensions["gpt-broker"].catalogue.shutdown_dates = {"gpt-4o": "2027-01-14"}
    listed = client.get("/v1/models", headers=bearer()).json
    assert listed
    assert [model.get("shutdown_date") for model in listed["data"]] == ["2027-01-14", None]


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/models", "/v1/models/gpt-4o"])
def test_a_request_without_a_token_gets_no_data(path: str) -> None:
    """The 401 has the format that OpenAI's SDKs read."""
    answer = make_client().get(path)
    assert answer.status_code == 401
    assert answer.json
    assert answer.json["error"]["code"] == "authorization_required"
