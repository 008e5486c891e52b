"""The playground at `/`: sign-in, answers, stop, the daily limit, and services that are down."""

import re
import uuid

import pytest
from playwright.sync_api import Page, expect

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.shapes import stream
from deploy.local.supabase_auth import SupabaseStandIn
from tests.browser.actions import EMAIL, OpenPage, ask, sign_in
from tests.integration.conftest import StartBroker
from tests.integration.waiting import within


def test_sign_in_ask_and_watch_the_answer(open_page: OpenPage, openai: OpenAIStandIn) -> None:
    """The answer appears piece by piece; then the page shows the remaining calls."""
    openai.token_delay = 0.03
    page = open_page()
    sign_in(page)
    expect(page.get_by_label("Your question")).to_be_focused()
    page.get_by_label("Model").select_option("gpt-4o-mini")
    page.get_by_label("Temperature").fill("0.2")
    ask(page, "Why does the sea come and go?")
    answer = page.locator(".answer")
    expect(answer).to_contain_text("Tides rise")
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(answer).to_have_text(ANSWER)
    expect(page.locator(".note")).to_contain_text(re.compile(r"gpt-4o-mini · first text after \d\.\d s · done after"))
    expect(page.get_by_role("status")).to_have_text(f"Answer: {ANSWER}")
    expect(page.locator("#allowance")).to_contain_text(re.compile(r"\b\d+ of 1000 calls left today"))
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    sent = openai.completions()[0].body
    assert (sent["model"], sent["temperature"]) == ("gpt-4o-mini", 0.2)


def test_a_conversation_keeps_its_history(open_page: OpenPage, openai: OpenAIStandIn) -> None:
    """Each question sends the conversation so far; "Start anew" clears it."""
    page = open_page()
    sign_in(page)
    ask(page, "First?")
    expect(page.locator(".note")).to_have_count(1)
    expect(page.locator(".note")).not_to_be_empty()
    ask(page, "Second?")
    expect(page.locator(".answer").nth(1)).to_have_text(ANSWER)
    roles = [message["role"] for message in openai.completions()[1].body["messages"]]
    assert roles == ["user", "assistant", "user"]
    page.get_by_role("button", name="Start anew").click()
    expect(page.locator(".turn")).to_have_count(0)
    page.get_by_role("button", name="Why does the sea come and go?").click()
    expect(page.locator(".answer")).to_have_text(ANSWER)
    assert [message["role"] for message in openai.completions()[2].body["messages"]] == ["user"]


@pytest.mark.parametrize("by", ["button", "key"])
def test_stop_ends_the_answer_at_openai(open_page: OpenPage, openai: OpenAIStandIn, by: str) -> None:
    """The text so far stays, and focus returns to the question."""
    openai.token_delay = 0.1
    page = open_page()
    sign_in(page)
    ask(page, "Tell me everything")
    expect(page.locator(".answer")).to_contain_text("Tides")
    if by == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    within(1, lambda: openai.completions()[0].end == "peer left")
    expect(page.locator(".note")).to_contain_text("stopped after")
    expect(page.locator(".answer")).to_contain_text("Tides")
    expect(page.locator(".refusal")).to_have_count(0)
    expect(page.get_by_label("Your question")).to_be_focused()


def test_over_the_limit_it_says_when_to_come_back(
    open_page: OpenPage, tight_broker: BrokerProcess, openai: OpenAIStandIn
) -> None:
    """The page shows the sentence and the reset time, and asks only once."""
    page = open_page(tight_broker.url)
    page.get_by_label("Public key of the project").fill("sb_publishable_x")
    sign_in(page, email="linus@example.com")
    ask(page, "One")
    expect(page.locator(".note")).to_contain_text("done after")
    ask(page, "Two")
    alert = page.locator(".turn").nth(1).get_by_role("alert")
    expect(alert.locator(".sentence")).to_have_text(
        re.compile(r"The daily limit of 1 calls is used up; it resets at 20\S+")
    )
    expect(alert.locator(".advice")).to_have_text(re.compile(r"The next day begins in [^.]+, at \d[^.]+ your time\."))
    assert len(re.findall("limit|used up|Today", alert.inner_text())) == 2  # said once, by the sentence
    expect(alert.get_by_role("button")).to_have_count(0)
    expect(page.locator("#allowance")).to_contain_text("0 of 1 calls left today")
    assert len(openai.completions()) == 1


def test_the_page_shows_the_remaining_calls_and_tokens(
    open_page: OpenPage, frugal_broker: BrokerProcess, openai: OpenAIStandIn
) -> None:
    """Two bars, which warn once 80 % are used; then the page says that the tokens are used up."""
    page = open_page(frugal_broker.url)
    page.get_by_label("Public key of the project").fill("sb_publishable_x")
    sign_in(page, email="grace@example.com")
    expect(page.locator("#allowance-tokens")).to_contain_text("60 of 60 tokens left today")
    expect(page.locator("#allowance-tokens-meter")).not_to_have_class(re.compile("low"))
    events = [*stream("gpt-4o", ["tide "] * 38, with_usage=True), b"data: [DONE]\n\n"]  # 12 tokens in, 38 out
    openai.next("events", body=b"".join(events).decode())
    ask(page, "Why tides?")
    expect(page.locator(".note")).to_contain_text("done after")
    expect(page.locator("#allowance")).to_contain_text("9 of 10 calls left today")
    expect(page.locator("#allowance-tokens")).to_contain_text("10 of 60 tokens left today")
    expect(page.locator("#allowance-tokens-meter")).to_have_class(re.compile("low"))
    ask(page, "And why is it salty?")
    alert = page.locator(".turn").nth(1).get_by_role("alert")
    expect(alert).to_contain_text("The daily limit of 60 tokens is used up")
    assert alert.inner_text().count("used up") == 1


def test_a_wrong_password_is_shown(open_page: OpenPage) -> None:
    """The page shows Supabase's message."""
    page = open_page()
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert").filter(has_text="Invalid login credentials")).to_contain_text("try again")


@pytest.mark.parametrize("behaviour", ["failing", "garbage"])
def test_a_failing_supabase_is_shown(open_page: OpenPage, supabase: SupabaseStandIn, behaviour: str) -> None:
    """Sign-in works again once Supabase does."""
    page = open_page()
    supabase.behaviour = behaviour
    try:
        sign_in(page)
        expect(page.get_by_role("alert").filter(has_text="Supabase")).to_contain_text(supabase.url)
    finally:
        supabase.behaviour = "well"
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Your question")).to_be_focused()


def test_an_unreachable_supabase_is_shown(open_page: OpenPage, start_broker: StartBroker) -> None:
    """The page still loads, and a token can be pasted."""
    away = "http://127.0.0.1:9"
    broker = start_broker(PLAYGROUND="on", SUPABASE_URL=away, SUPABASE_ANON_KEY="sb_publishable_x", WEB_CONCURRENCY="1")
    page = open_page(broker.url)
    sign_in(page)
    expect(page.get_by_role("alert").filter(has_text="Supabase cannot sign anyone in")).to_contain_text(away)
    page.get_by_label("Access token", exact=True).check()
    page.get_by_label("Supabase access token").fill("a.b.c")
    page.get_by_role("button", name="Sign in").click()
    ask(page, "Hello?")
    expect(page.locator(".refusal")).to_be_visible()


def test_a_token_can_be_pasted(open_page: OpenPage, supabase: SupabaseStandIn) -> None:
    """`Bearer` before it is optional. A wrong token is reported at the first question."""
    page = open_page()
    page.get_by_label("Access token", exact=True).check()
    page.get_by_label("Supabase access token").fill(f"Bearer {supabase.token(EMAIL)}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#who")).to_have_text(EMAIL)
    ask(page, "Hello?")
    expect(page.locator(".answer")).to_have_text(ANSWER)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Supabase access token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    ask(page, "Hello?")
    expect(page.locator(".refusal")).to_contain_text("Invalid or expired token")
    expect(page.locator(".refusal")).to_contain_text("Sign out, and sign in")


def sign_in_with_a_token_that_has_expired(page: Page) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploy.local.supabase_auth.LIFETIME", -60)
        sign_in(page)
        expect(page.get_by_label("Your question")).to_be_focused()


def test_an_expired_session_is_refreshed(open_page: OpenPage) -> None:
    """The page refreshes the session once and asks again."""
    page = open_page()
    sign_in_with_a_token_that_has_expired(page)
    ask(page, "Hello?")
    expect(page.locator(".answer")).to_have_text(ANSWER)
    expect(page.locator(".refusal")).to_have_count(0)


def test_signing_out_ends_a_refresh_of_the_session(
    open_page: OpenPage, supabase: SupabaseStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its late answer must not replace the token of the user who signs in next."""
    page = open_page()
    sign_in_with_a_token_that_has_expired(page)
    monkeypatch.setattr(supabase, "behaviour", "slow")  # answers after a second
    with page.expect_request("**/auth/v1/token?grant_type=refresh_token"):
        ask(page, "Hello?")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Access token", exact=True).check()
    token = supabase.token_for(str(uuid.uuid4()))
    page.get_by_label("Supabase access token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.wait_for_timeout(1500)  # until the refresh would have been answered
    with page.expect_request("**/v1/chat/completions") as asked:
        ask(page, "Who am I?")
    assert asked.value.headers["authorization"] == f"Bearer {token}"
    expect(page.locator(".answer")).to_have_text(ANSWER)


@pytest.mark.parametrize(
    ("reply", "sentence", "advice", "may_try_again"),
    [
        ("401_masked_key", "OpenAI does not serve this broker", "the broker’s operator finds the cause", False),
        ("rate_limited", "OpenAI is receiving too many requests", "Try again", True),
        ("400_context_length_exceeded", "maximum context length", "too long for this model. Start anew", False),
        ("cut_mid_stream", "The answer broke off", "What stands above is all that came", True),
    ],
)
def test_each_error_is_shown_in_words(
    open_page: OpenPage, openai: OpenAIStandIn, reply: str, sentence: str, advice: str, may_try_again: bool
) -> None:
    """Each error has a sentence and advice, and a button only if a retry may help."""
    page = open_page()
    sign_in(page)
    openai.next(reply, times=3)
    ask(page, "Hello?")
    alert = page.locator(".turn").get_by_role("alert")
    expect(alert).to_contain_text(sentence)
    expect(alert).to_contain_text(advice)
    expect(page.get_by_role("button", name="Try again")).to_have_count(int(may_try_again))
    openai.reset()
    if may_try_again:
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".answer")).to_have_text(ANSWER)
        expect(page.locator(".turn")).to_have_count(1)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, '{"error": "Too many requests from this address; slow down", "code": "too_many_requests"}', "slow down"),
        (503, "<html>a proxy's own words", "The broker answered with status 503"),
    ],
)
def test_an_error_of_a_proxy_is_shown(open_page: OpenPage, status: int, body: str, said: str) -> None:
    """Any error body gives a sentence and a retry button."""
    page = open_page()
    sign_in(page)
    page.route("**/v1/chat/completions", lambda route: route.fulfill(status=status, body=body))
    ask(page, "Hello?")
    alert = page.locator(".turn").get_by_role("alert")
    expect(alert).to_contain_text(said)
    expect(alert).to_contain_text("Try again in a moment.")
    page.unroute("**/v1/chat/completions")
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer")).to_have_text(ANSWER)


def test_an_unreachable_broker_is_shown(
    open_page: OpenPage, start_broker: StartBroker, supabase: SupabaseStandIn
) -> None:
    """The page explains it instead of showing the browser's message."""
    broker = start_broker(PLAYGROUND="on", SUPABASE_ANON_KEY=supabase.anon_key, WEB_CONCURRENCY="1")
    page = open_page(broker.url)
    sign_in(page)
    broker.end()
    ask(page, "Hello?")
    expect(page.locator(".refusal")).to_contain_text("The broker cannot be reached")
