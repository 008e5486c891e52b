"""axios, the client of the apps in production, in the browser."""

from typing import Any

from playwright.sync_api import Page

from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.integration.conftest import User

HELLO = [{"role": "user", "content": "hello"}]
POST = """async ({url, path, token, body, options = {}}) => {
  const { default: axios } = await import("axios");
  const headers = { Authorization: `Bearer ${token}` };
  try {
    const { status, data } = await axios.post(url + path, body, { headers, ...options });
    return { status, data };
  } catch (error) {
    return { failed: error.name, status: error.response?.status, data: error.response?.data, code: error.code };
  }
}"""


def post(app: Page, user: User, path: str, body: object, **more: object) -> dict[str, Any]:
    result: dict[str, Any] = app.evaluate(
        POST, {"url": user.url, "path": path, "token": user.token, "body": body} | more
    )
    return result


def test_a_bare_array_is_answered_with_text(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """The completion is a string, as in production."""
    assert post(app, ada, "/advanced-gpt-4o-mini-complete", HELLO) == {"status": 200, "data": ANSWER}
    assert openai.completions()[0].body["messages"] == HELLO


def test_a_conversation_is_answered_with_an_object(app: Page, ada: User) -> None:
    """Axios parses the JSON."""
    for path in ("/v2/advanced-gpt-4o-mini-complete", "/gpt-4o"):
        assert post(app, ada, path, {"messages": HELLO, "temperature": 0}) == {
            "status": 200,
            "data": {"message": ANSWER},
        }


def test_a_text_that_looks_like_json_stays_text_where_it_is_asked_for(
    app: Page, ada: User, openai: OpenAIStandIn
) -> None:
    """Axios parses anything that looks like JSON unless `responseType` is `text`."""
    openai.answer, kept = '{"tide": "low"}', openai.answer
    try:
        seen = post(app, ada, "/advanced-gpt-4o-mini-complete", HELLO, options={"responseType": "text"})
    finally:
        openai.answer = kept
    assert seen["data"] == '{"tide": "low"}'


def test_an_error_carries_the_brokers_sentence(app: Page, ada: User) -> None:
    """`error.response.data` holds the sentence that apps show."""
    seen = post(app, ada, "/advanced-gpt-4o-mini-complete", [{"role": "user"}])
    assert (seen["failed"], seen["status"], seen["code"]) == ("AxiosError", 400, "ERR_BAD_REQUEST")
    assert seen["data"]["error"] == "each 'message' object must have a 'role' and 'content' property"
    seen = post(app, User(ada.id, ada.url, "expired"), "/gpt-4o", {"messages": HELLO})
    assert (seen["status"], seen["data"]["error"]) == (401, "Invalid or expired token")
