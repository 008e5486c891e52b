"""The preflights that Chromium sends: https://chromedevtools.github.io/devtools-protocol/tot/Network/."""

from typing import Any

from playwright.sync_api import Page

Headers = dict[str, str]


class Preflights:
    """Every preflight of a page from now on: request headers, and response headers with the status."""

    def __init__(self, page: Page) -> None:
        self.seen: list[tuple[Headers, Headers]] = []
        self._asked: dict[str, Headers] = {}
        session = page.context.new_cdp_session(page)
        session.on("Network.requestWillBeSent", self._begin)
        session.on("Network.requestWillBeSentExtraInfo", self._ask)
        session.on("Network.responseReceivedExtraInfo", self._answer)
        session.send("Network.enable")

    def _begin(self, event: dict[str, Any]) -> None:
        if event["request"]["method"] == "OPTIONS":
            self._asked[event["requestId"]] = {}

    def _ask(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self._asked:
            self._asked[event["requestId"]] = _lower(event["headers"])

    def _answer(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self._asked:
            answer = _lower(event["headers"]) | {"status": str(event["statusCode"])}
            self.seen.append((self._asked.pop(event["requestId"]), answer))


def _lower(headers: Headers) -> Headers:
    return {name.lower(): value for name, value in headers.items()}
