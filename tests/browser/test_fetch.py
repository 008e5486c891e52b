"""`fetch` from a page on another origin, without any SDK."""

import pytest
from playwright.sync_api import Page

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.integration.conftest import User
from tests.integration.waiting import within

STREAM = """async ({url, token, body, stopAfter = Infinity}) => {
  const stop = new AbortController();
  const response = await fetch(url + "/stream", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: stop.signal,
  });
  const seen = { status: response.status, texts: [], errors: [], limit: response.headers.get("RateLimit"), stopped: false };
  if (!response.ok) return { ...seen, body: await response.json(), retryAfter: response.headers.get("Retry-After") };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return seen;
      const lines = (rest + value).split("\\n");
      rest = lines.pop();
      for (const line of lines.map(JSON.parse)) line.error ? seen.errors.push(line.error) : seen.texts.push(line.data);
      if (seen.texts.length >= stopAfter) stop.abort();
    }
  } catch (error) {
    seen.stopped = error.name === "AbortError";
    return seen;
  }
}"""  # noqa: E501 - JavaScript


def ask(app: Page, user: User, **more: object) -> dict[str, object]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    result: dict[str, object] = app.evaluate(STREAM, {"url": user.url, "token": user.token, "body": body} | more)
    return result


def test_an_answer_arrives_piece_by_piece(app: Page, ada: User, openai: OpenAIStandIn, broker: BrokerProcess) -> None:
    """Every byte is kept, emoji and CJK included. The rate limit is readable, and the log records a complete answer."""
    openai.token_delay = 0.01
    seen = ask(app, ada)
    assert isinstance(seen["texts"], list)
    assert "".join(seen["texts"]) == ANSWER
    assert len(seen["texts"]) > 10
    assert seen["errors"] == []
    assert str(seen["limit"]).startswith('"daily";r=49;t=')
    within(2, lambda: [line["outcome"] for line in broker.log_lines() if line["user"] == ada.id] == ["answered"])


def test_an_abort_reaches_openai_within_a_second(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """OpenAI stops generating."""
    openai.token_delay = 0.1
    seen = ask(app, ada, stopAfter=3)
    assert seen["stopped"] is True
    took = within(1, lambda: openai.completions()[0].end == "peer left")
    assert took < 1
    assert seen["texts"]


def test_a_stream_that_breaks_says_so_in_its_last_line(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """The text before it is kept."""
    openai.next("cut_mid_stream", events=4)
    seen = ask(app, ada)
    assert seen["texts"]
    assert seen["errors"] == ["Error while streaming"]


def test_an_error_is_readable_from_another_origin(app: Page, ada: User, openai: OpenAIStandIn) -> None:
    """The page reads status, sentence, code and `Retry-After`."""
    openai.next("rate_limited", times=-1, **{"retry-after": 33})
    seen = ask(app, ada)
    assert isinstance(seen["body"], dict)
    assert (seen["status"], seen["body"]["code"], seen["retryAfter"]) == (503, "openai_rate_limited", "33")
    assert str(seen["limit"]).startswith('"daily";r=50;t=')


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [({"token": ""}, 401, "invalid_token"), ({"body": {"model": "gpt-4o"}}, 400, "messages_required")],
)
def test_a_refusal_is_readable(app: Page, ada: User, change: dict[str, object], status: int, code: str) -> None:
    """The body's code names the cause."""
    seen = ask(app, ada, **change)
    assert isinstance(seen["body"], dict)
    assert (seen["status"], seen["body"]["code"]) == (status, code)


def test_the_daily_limit_says_when_it_resets(app: Page, tight_broker: BrokerProcess, ada: User) -> None:
    """The page can show when to try again."""
    user = User(ada.id, tight_broker.url, ada.token)
    assert ask(app, user)["status"] == 200
    seen = ask(app, user)
    assert isinstance(seen["body"], dict)
    assert (seen["status"], seen["body"]["code"]) == (429, "daily_limit_exceeded")
    assert seen["body"]["resets_at"].endswith("T00:00:00+00:00")
    assert 0 < int(str(seen["retryAfter"])) <= 86_400
