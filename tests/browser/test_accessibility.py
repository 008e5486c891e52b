"""Accessibility of the playground: keyboard, screen reader, light and dark, narrow screens."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD
from tests.browser.actions import EMAIL, OpenPage, ask, sign_in
from tests.browser.modules import FOLDER

CHECK = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, nodes }) => [id, nodes.map((node) => node.html.slice(0, 120) + node.failureSummary)])"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def violations(page: Page) -> list[Any]:
    """Return axe's violations of WCAG and best practices, contrast included: https://github.com/dequelabs/axe-core."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((FOLDER / "axe-core" / "axe.min.js").read_text())
    found: list[Any] = page.evaluate(CHECK)
    return found


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 320)])
def test_axe_finds_no_violation_in_any_state(
    open_page: OpenPage, openai: OpenAIStandIn, scheme: str, width: int
) -> None:
    """Every state of the page passes axe and does not overflow horizontally."""
    openai.token_delay = 0.05
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce")
    states: dict[str, object] = {}

    def check(state: str) -> None:
        states[state] = (violations(page), page.evaluate(OVERFLOW))

    expect(page.get_by_label("Email", exact=True)).to_be_focused()
    sign_in(page, password="wrong")
    expect(page.locator(".refusal")).to_be_visible()
    check("refused")
    page.get_by_label("Access token", exact=True).check()
    check("with a token")
    page.get_by_label("Email and password").check()
    sign_in(page)
    expect(page.get_by_label("Your question")).to_be_focused()
    check("ready")
    ask(page, "Why?")
    expect(page.locator(".answer")).to_contain_text("Tides")
    check("answering")
    expect(page.locator(".note")).to_contain_text("done")
    openai.next("401_masked_key")
    ask(page, "Why not?")
    expect(page.locator(".refusal")).to_be_visible()
    page.get_by_label("fetch").check()
    check("answered and failed")
    assert {state: found for state, found in states.items() if found != ([], 0)} == {}


def test_everything_can_be_done_by_keyboard(open_page: OpenPage, openai: OpenAIStandIn) -> None:
    """Focus follows the order of the page and is never lost."""
    openai.token_delay = 0.05
    page = open_page()
    keys = page.keyboard
    expect(page.get_by_label("Email", exact=True)).to_be_focused()
    keys.type(EMAIL)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    expect(page.get_by_label("Your question")).to_be_focused()
    keys.type("First line")
    keys.press("Shift+Enter")
    keys.type("second line")
    keys.press("Tab")
    expect(page.get_by_label("Model")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("Tab")
    expect(page.get_by_label("Temperature")).to_be_focused()
    keys.press("End")
    keys.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    keys.press("Enter")
    expect(page.locator(".question")).to_contain_text("First line\nsecond line")
    keys.press("Escape")
    expect(page.locator(".note")).to_contain_text("stopped")
    expect(page.get_by_label("Your question")).to_be_focused()
    for name in ("Model", "Temperature", "Start anew", "Send", "OpenAI SDK", "Copy"):
        keys.press("Tab")
        assert name in focused(page)
    sent = openai.completions()[0].body
    assert (sent["model"], sent["temperature"]) == ("gpt-4o-mini", 1)
    assert sent["messages"][0]["content"] == "First line\nsecond line"


def focused(page: Page) -> str:
    """Return the label of the focused element."""
    name = "(e) => e.labels?.length ? e.labels[0].textContent : e.textContent"
    return str(page.locator(":focus").evaluate(name)).strip()


def test_a_screen_reader_announces_every_change(open_page: OpenPage, openai: OpenAIStandIn) -> None:
    """Live regions announce that an answer is coming, the whole answer, and each error at once."""
    openai.token_delay = 0.05
    page = open_page()
    sign_in(page)
    ask(page, "Why?")
    expect(page.get_by_role("status")).to_have_text("Answering")
    expect(page.get_by_role("status")).to_have_text(f"Answer: {ANSWER}")
    openai.next("401_masked_key")
    ask(page, "Why not?")
    expect(page.get_by_role("alert").filter(has_text="OpenAI does not serve this broker")).to_be_visible()
    assert page.get_by_role("heading", level=3).all_inner_texts() == ["You asked", "Answer"] * 2


def test_enter_that_ends_a_word_of_an_input_method_sends_nothing(open_page: OpenPage, openai: OpenAIStandIn) -> None:
    """Enter confirms a word in Japanese and Chinese input methods."""
    page = open_page()
    sign_in(page)
    page.get_by_label("Your question").fill("満ち")
    page.get_by_label("Your question").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(page.locator(".turn")).to_have_count(0)
    assert openai.completions() == []
