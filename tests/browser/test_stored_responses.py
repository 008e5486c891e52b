"""OpenAI's SDK on `/v1/responses`: two users in two browsers, each with the other's ids."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from tests.browser.conftest import load_packages
from tests.browser.site import Site
from tests.integration.conftest import User

SECRET = "my diary: the boat is called Marie"
RUN = """async ({url, token, what, id, item, body = {}}) => {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: url + "/v1", apiKey: token, dangerouslyAllowBrowser: true, maxRetries: 0 });
  const create = (more) => client.responses.create({ model: "gpt-4o", input: "Go on", ...body, ...more });
  const doing = {
    create: () => create({}),
    stream: async () => {
      const events = [];
      for await (const event of await create({ stream: true })) events.push(event);
      return events;
    },
    continue: () => create({ previous_response_id: id }),
    refer: () => create({ input: [{ type: "item_reference", id: item }, { role: "user", content: "Go on" }] }),
    read: () => client.responses.retrieve(id),
    list: async () => (await client.responses.inputItems.list(id)).data,
    delete: () => client.responses.delete(id).then(() => "deleted"),
  };
  try {
    return { value: await doing[what]() };
  } catch (error) {
    return { status: error.status, message: error.message };
  }
}"""
USES = ("continue", "refer", "read", "list", "delete")


class SignedIn:
    """A user in a browser of their own."""

    def __init__(self, page: Page, user: User) -> None:
        self._page = page
        self._user = user

    def run(self, what: str, stored: dict[str, Any] | None = None, **body: object) -> dict[str, Any]:
        """Call the SDK, with the ids of a stored response."""
        ids = {"id": stored["id"], "item": stored["output"][0]["id"]} if stored else {}
        given = {"url": self._user.url, "token": self._user.token, "what": what, "body": body, **ids}
        result: dict[str, Any] = self._page.evaluate(RUN, given)
        return result


@pytest.fixture(scope="module")
def two_pages(chromium: Browser, site: Site) -> Iterator[tuple[Page, Page]]:
    """A page in each of two browser profiles, with the package loaded once."""
    contexts = [chromium.new_context() for _ in range(2)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        load_packages(page, site, "openai")
    yield pages[0], pages[1]
    for context in contexts:
        context.close()


@pytest.fixture
def two_users(
    two_pages: tuple[Page, Page], broker: BrokerProcess, new_user: Callable[[BrokerProcess], User]
) -> tuple[SignedIn, SignedIn]:
    """Ada and Grace, each in a browser profile of their own."""
    return SignedIn(two_pages[0], new_user(broker)), SignedIn(two_pages[1], new_user(broker))


def test_a_user_continues_reads_and_deletes_their_own(
    two_users: tuple[SignedIn, SignedIn], openai: OpenAIStandIn
) -> None:
    """Every call of the SDK works; a deleted response is gone."""
    ada, _ = two_users
    begun = ada.run("create", input=SECRET)["value"]
    for use in ("continue", "refer"):
        assert ada.run(use, begun)["value"]["output_text"] == ANSWER
    assert ada.run("read", begun)["value"]["id"] == begun["id"]
    assert SECRET in str(ada.run("list", begun)["value"])
    assert ada.run("delete", begun)["value"] == "deleted"
    assert ada.run("read", begun)["status"] == 404


def test_it_streams(two_users: tuple[SignedIn, SignedIn], openai: OpenAIStandIn) -> None:
    """All events arrive, from `response.created` to `response.completed`."""
    ada, _ = two_users
    events = ada.run("stream")["value"]
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta") == ANSWER


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("what", ["create", "stream"])
def test_no_other_user_continues_reads_or_deletes_it(
    two_users: tuple[SignedIn, SignedIn], openai: OpenAIStandIn, what: str, use: str
) -> None:
    """The error is OpenAI's own for an unknown id. OpenAI is not asked, and the owner keeps the response."""
    ada, grace = two_users
    begun = ada.run(what, input=SECRET)["value"]
    begun = begun[-1]["response"] if what == "stream" else begun
    requests = len(openai.seen)
    refused = grace.run(use, begun)
    assert refused["status"] == (400 if use == "continue" else 404)
    assert "not found" in refused["message"]
    assert len(openai.seen) == requests
    assert ada.run("read", begun)["value"]["id"] == begun["id"]
