"""The code that README.md and the page show is run as it stands, from a page on another origin."""

import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER, OpenAIStandIn
from deploy.local.supabase_auth import PASSWORD, SupabaseStandIn
from tests.browser.site import Site
from tests.browser.visitor import Visit, ask, sign_in

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Use it from your app")[2]
SNIPPETS = re.findall(r"```js\n(.*?)```", SECTION.partition("\n## ")[0], re.DOTALL)
AROUND = """const show = (text) => document.getElementById("shown").append(text);
const [email, password] = ["grace@example.com", "%s"];
"""


def run(app: Page, site: Site, script: str) -> str:
    """What the script shows, once it has come to its end."""
    path = site.publish(f"snippet-{abs(hash(script))}", AROUND % PASSWORD + script)
    app.evaluate("async (path) => { await import(path) }", path)
    return app.locator("#shown").inner_text()


def at_home(snippet: str, broker: BrokerProcess, supabase: SupabaseStandIn) -> str:
    """The snippet with the addresses of the stand-ins in the place of its examples."""
    homes = {
        "https://gpt.example.com": broker.url,
        "https://abcdefghijklmnopqrst.supabase.co": supabase.url,
        "sb_publishable_…": supabase.anon_key,
    }
    for example, home in homes.items():
        snippet = snippet.replace(example, home)
    assert "example.com/" not in snippet
    return snippet


def test_the_readme_has_three_snippets_and_is_short() -> None:
    """supabase-js for the token, OpenAI's SDK, `fetch`."""
    assert ["supabase-js" in SNIPPETS[0], "OpenAI(" in SNIPPETS[1], "/stream" in SNIPPETS[2]] == [True] * 3
    assert len(SNIPPETS) == 3
    assert len(SECTION.partition("\n## ")[0].splitlines()) <= 50


def test_the_readmes_sign_in_gives_a_token_that_the_broker_takes(
    new_app: Page, site: Site, page_broker: BrokerProcess, supabase: SupabaseStandIn
) -> None:
    """The first snippet by itself."""
    token = run(new_app, site, at_home(SNIPPETS[0], page_broker, supabase) + "show(await accessToken());")
    usage = requests.get(page_broker.url + "/v1/usage", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert usage.status_code == 200


@pytest.mark.parametrize("number", [1, 2], ids=["OpenAI SDK", "fetch"])
def test_the_readmes_other_snippets_stream_an_answer(
    new_app: Page, site: Site, page_broker: BrokerProcess, supabase: SupabaseStandIn, openai: OpenAIStandIn, number: int
) -> None:
    """Each after the first one."""
    script = SNIPPETS[0] + SNIPPETS[number]
    assert run(new_app, site, at_home(script, page_broker, supabase)) == ANSWER
    assert openai.completions()[0].body["messages"] == [{"role": "user", "content": "Why is the sea salty?"}]


@pytest.mark.parametrize("name", ["OpenAI SDK", "fetch"])
def test_the_pages_code_does_the_same_as_the_page(
    visit: Visit, new_app: Page, site: Site, supabase: SupabaseStandIn, openai: OpenAIStandIn, name: str
) -> None:
    """The same request, but for what was said before."""
    page = visit(permissions=["clipboard-read", "clipboard-write"])
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
