"""`@supabase/supabase-js` in the browser: the broker accepts its sessions."""

from typing import Any

from playwright.sync_api import Page

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import ANSWER
from deploy.local.supabase_auth import CAST, PASSWORD, SupabaseStandIn
from tests.integration.waiting import within

SIGN_IN = """async ({supabaseUrl, key, url, password, what = "access_token"}) => {
  const { createClient } = await import("@supabase/supabase-js");
  const supabase = createClient(supabaseUrl, key);
  const { data, error } = await supabase.auth.signInWithPassword({ email: "ada@example.com", password });
  if (error) return { failed: error.name, code: error.code };
  if (what === "refreshed") await supabase.auth.refreshSession();
  const { data: { session } } = await supabase.auth.getSession();
  const token = what === "key" ? key : session.access_token;
  if (what === "signed out") await supabase.auth.signOut();
  const response = await fetch(url + "/gpt-4o", {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", apikey: key },
    body: JSON.stringify({ messages: "hello" }),
  });
  return { status: response.status, body: await response.json(), isNew: token !== data.session.access_token };
}"""


def sign_in(app: Page, broker: BrokerProcess, supabase: SupabaseStandIn, **more: str) -> dict[str, Any]:
    given = {"supabaseUrl": supabase.url, "key": supabase.anon_key, "url": broker.url, "password": PASSWORD}
    result: dict[str, Any] = app.evaluate(SIGN_IN, given | more)
    return result


def test_the_broker_accepts_its_session(new_app: Page, broker: BrokerProcess, supabase: SupabaseStandIn) -> None:
    """A user signs in with email and password and makes a call."""
    seen = sign_in(new_app, broker, supabase)
    assert (seen["status"], seen["body"]) == (200, {"message": ANSWER})
    within(1, lambda: CAST["ada@example.com"] in {line["user"] for line in broker.log_lines()})


def test_a_refreshed_session_goes_on(new_app: Page, broker: BrokerProcess, supabase: SupabaseStandIn) -> None:
    """A page refreshes the session after `token_expired`."""
    seen = sign_in(new_app, broker, supabase, what="refreshed")
    assert (seen["status"], seen["isNew"]) == (200, True)


def test_the_projects_own_key_is_no_user(new_app: Page, broker: BrokerProcess, supabase: SupabaseStandIn) -> None:
    """supabase-js sends it while no user is signed in."""
    seen = sign_in(new_app, broker, supabase, what="key")
    assert (seen["status"], seen["body"]["code"]) == (401, "invalid_token")


def test_a_wrong_password_is_supabases_refusal(new_app: Page, broker: BrokerProcess, supabase: SupabaseStandIn) -> None:
    """The stand-in's error becomes supabase-js's own error class."""
    seen = sign_in(new_app, broker, supabase, password="wrong")
    assert seen == {"failed": "AuthApiError", "code": "invalid_credentials"}
