"""OpenAI's SDK for JavaScript in the browser, with the access token as its API key."""

from typing import Any

import pytest
from playwright.sync_api import Page

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.browser.preflights import Preflights
from tests.integration.conftest import User
from tests.integration.waiting import within

HELLO = [{"role": "user", "content": "hello"}]
RUN = """async ({url, token, what, body, options = {}}) => {
  const { default: OpenAI, ...classes } = await import("openai");
  const client = new OpenAI({ baseURL: url + "/v1", apiKey: token, dangerouslyAllowBrowser: true, ...options });
  const doing = {
    models: async () => (await client.models.list()).data.map((model) => model.id),
    create: () => client.chat.completions.create(body),
    stream: async () => {
      const chunks = [];
      for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) chunks.push(chunk);
      return chunks;
    },
    helper: async () => client.chat.completions.stream(body).finalContent(),
    abort: async () => {
      const stream = await client.chat.completions.create({ ...body, stream: true });
      let seen = 0;
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content && ++seen === 3) stream.controller.abort();
      return seen;
    },
  };
  const begun = performance.now();
  try {
    return { value: await doing[what]() };
  } catch (error) {
    const kinds = Object.keys(classes).filter((name) => /Error$/.test(name) && error instanceof classes[name]);
    const { status, code, type, param, message, requestID } = error;
    const headers = { ...Object.fromEntries(error.headers ?? []) };
    const seconds = (performance.now() - begun) / 1000;
    return { kinds, name: error.constructor.name, status, code, type, param, message, requestID, headers, seconds,
             details: error.error };
  }
}"""


def run(app: Page, user: User, what: str, body: object = None, **more: object) -> dict[str, Any]:
    request = body or {"model": "gpt-4o", "messages": HELLO}
    given = {"url": user.url, "token": user.token, "what": what, "body": request}
    result: dict[str, Any] = app.evaluate(RUN, given | more)
    return result


def test_it_lists_the_models(app: Page, ada: User) -> None:
    """The names are those of `MODELS`."""
    assert run(app, ada, "models")["value"] == ["gpt-4o", "gpt-4o-mini"]


def test_it_gets_an_answer_in_one_piece(app: Page, ada: User) -> None:
    """OpenAI's fields are passed on, usage included."""
    answer = run(app, ada, "create")["value"]
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert (answer["object"], answer["usage"]["prompt_tokens"]) == ("chat.completion", 12)


def test_it_streams(app: Page, ada: User) -> None:
    """All chunks arrive; usage only if it was requested."""
    chunks = run(app, ada, "stream")["value"]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == ANSWER
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert not [chunk for chunk in chunks if chunk.get("usage")]


def test_it_streams_with_usage(app: Page, ada: User) -> None:
    """Usage is in a last chunk without choices."""
    body = {"model": "gpt-4o", "messages": HELLO, "stream_options": {"include_usage": True}}
    last = run(app, ada, "stream", body)["value"][-1]
    assert (last["choices"], last["usage"]["prompt_tokens"]) == ([], 12)


def test_its_streaming_helper_works(app: Page, ada: User) -> None:
    """The helper sends its own header, which the preflight allows."""
    preflights = Preflights(app)
    assert run(app, ada, "helper")["value"] == ANSWER
    asked = ",".join(question["access-control-request-headers"] for question, _ in preflights.seen)
    assert "x-stainless-helper-method" in asked
    assert {"authorization", "x-stainless-lang", "x-stainless-retry-count"} <= set(asked.split(","))


def test_its_abort_reaches_openai_within_a_second(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """OpenAI stops generating."""
    openai.token_delay = 0.1
    assert run(app, ada, "abort")["value"] == 3
    assert within(1, lambda: openai.completions()[0].end == "peer left") < 1


def test_a_wrong_token_is_an_authentication_error(app: Page, ada: User) -> None:
    """The SDK does not retry a 401."""
    error = run(app, User(ada.id, ada.url, "wrong"), "create")
    assert "AuthenticationError" in error["kinds"]
    assert (error["status"], error["code"]) == (401, "invalid_token")
    assert "Invalid or expired token" in error["message"]
    assert error["requestID"]


@pytest.mark.parametrize("extra", [{"n": 2}, {"store": True}, {"web_search_options": {}}])
def test_a_wrong_request_is_a_bad_request_error(app: Page, ada: User, extra: dict[str, object]) -> None:
    """A 400 names the wrong parameter in OpenAI's format."""
    error = run(app, ada, "create", {"model": "gpt-4o", "messages": HELLO, **extra})
    assert "BadRequestError" in error["kinds"]
    assert (error["status"], error["type"], error["param"]) == (400, "invalid_request_error", next(iter(extra)))


def test_the_daily_limit_is_raised_without_a_retry(app: Page, ada: User, tight_broker: BrokerProcess) -> None:
    """The SDK neither retries nor waits, and the page can show when the limit resets."""
    user = User(ada.id, tight_broker.url, ada.token)
    assert "value" in run(app, user, "create")
    for what in ("create", "stream"):
        error = run(app, user, what)
        assert "RateLimitError" in error["kinds"]
        assert (error["status"], error["code"]) == (429, "daily_limit_exceeded")
        assert error["details"]["resets_at"].endswith("T00:00:00+00:00")
        assert error["headers"]["x-should-retry"] == "false"
        assert error["headers"]["ratelimit"].startswith('"daily";r=0;t=')
        assert error["seconds"] < 2

    def statuses() -> list[int]:
        lines = tight_broker.log_lines()
        return [line["status"] for line in lines if line["user"] == ada.id and line["method"] == "POST"]

    within(1, lambda: len(statuses()) >= 3)
    assert statuses() == [200, 429, 429]


@pytest.mark.parametrize(("retry_after", "tries"), [(1, 2), (600, 1)])
def test_a_busy_openai_is_an_error_of_the_server(
    app: Page, ada: User, page_broker: BrokerProcess, openai: OpenAIStandIn, retry_after: int, tries: int
) -> None:
    """503 with `Retry-After`: the SDK waits if that is short, and raises at once if it is long."""
    openai.next("rate_limited", times=-1, **{"retry-after": retry_after})
    error = run(app, User(ada.id, page_broker.url, ada.token), "create", options={"maxRetries": 1})
    assert "InternalServerError" in error["kinds"]
    assert (error["status"], error["headers"]["retry-after"]) == (503, str(retry_after))
    assert len(openai.completions()) == tries
    assert error["seconds"] < 10


def test_a_stream_that_breaks_is_an_api_error(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """A cut stream raises; it does not end cleanly."""
    openai.next("cut_mid_stream", events=4)
    error = run(app, ada, "stream")
    assert "APIError" in error["kinds"]
    assert "broke off" in error["message"]
