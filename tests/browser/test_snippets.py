"""The code in README.md and on the playground runs unchanged from a page on another origin."""

import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.browser.actions import OpenPage, ask, sign_in
from tests.browser.site import Site

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Use it from your app")[2]
SNIPPETS = re.findall(r"```js\n(.*?)```", SECTION.partition("\n## ")[0], re.DOTALL)
AROUND = """const show = (text) => document.getElementById("shown").append(text);
const [email, password] = ["grace@example.com", "%s"];
"""


def run(app: Page, site: Site, script: str) -> str:
    """Run the script to its end and return what it shows."""
    path = site.publish(f"snippet-{abs(hash(script))}", AROUND % PASSWORD + script)
    app.evaluate("async (path) => { await import(path) }", path)
    return app.locator("#shown").inner_text()


def with_local_addresses(snippet: str, broker: BrokerProcess, supabase: SupabaseStandIn) -> str:
    """Replace the example addresses of a snippet with those of the stand-ins."""
    local = {
        "https://gpt.example.com": broker.url,
        "https://abcdefghijklmnopqrst.supabase.co": supabase.url,
        "sb_publishable_…": supabase.anon_key,
    }
    for example, address in local.items():
        snippet = snippet.replace(example, address)
    assert "example.com/" not in snippet
    return snippet


def test_the_readme_has_three_snippets_and_is_short() -> None:
    """The snippets show supabase-js, OpenAI's SDK and `fetch`."""
    assert ["supabase-js" in SNIPPETS[0], "OpenAI(" in SNIPPETS[1], "/stream" in SNIPPETS[2]] == [True] * 3
    assert len(SNIPPETS) == 3
    assert len(SECTION.partition("\n## ")[0].splitlines()) <= 50


def test_the_readmes_sign_in_gives_a_token_that_the_broker_takes(
    new_app: Page, site: Site, page_broker: BrokerProcess, supabase: SupabaseStandIn
) -> None:
    """The first snippet works on its own."""
    token = run(new_app, site, with_local_addresses(SNIPPETS[0], page_broker, supabase) + "show(await accessToken());")
    usage = requests.get(page_broker.url + "/v1/usage", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert usage.status_code == 200


@pytest.mark.parametrize("number", [1, 2], ids=["OpenAI SDK", "fetch"])
def test_the_readmes_other_snippets_stream_an_answer(
    new_app: Page, site: Site, page_broker: BrokerProcess, supabase: SupabaseStandIn, openai: OpenAIStandIn, number: int
) -> None:
    """Each works after the first."""
    script = SNIPPETS[0] + SNIPPETS[number]
    assert run(new_app, site, with_local_addresses(script, page_broker, supabase)) == ANSWER
    assert openai.completions()[0].body["messages"] == [{"role": "user", "content": "Why is the sea salty?"}]


@pytest.mark.parametrize("name", ["OpenAI SDK", "fetch"])
def test_the_pages_code_does_the_same_as_the_page(
    open_page: OpenPage, new_app: Page, site: Site, supabase: SupabaseStandIn, openai: OpenAIStandIn, name: str
) -> None:
    """Both send the same request."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    sign_in(page)
    page.get_by_label("Temperature").fill("0.3")
    ask(page, 'Why "does" the\nsea come and go?')
    expect(page.locator(".note")).to_contain_text("done after")
    page.get_by_label(name).check()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    code = page.evaluate("navigator.clipboard.readText()")
    session = f'const session = {{ access_token: "{supabase.token("grace@example.com")}" }};\n'
    assert run(new_app, site, session + code) == ANSWER
    ours, theirs = (seen.body for seen in openai.completions())
    assert ours == theirs
