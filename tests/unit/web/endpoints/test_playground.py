"""The page at `/`: its files and its Content-Security-Policy."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from broker.errors.base import Fault
from broker.web.endpoints.playground import PAGE
from tests.apps import REQUIRED, make_client

FILES = sorted(path for path in PAGE.iterdir() if path.is_file())


@pytest.fixture
def client() -> FlaskClient:
    return make_client(PLAYGROUND="on")


class Inline(HTMLParser):
    """Collects inline code, and the URLs of loaded files."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.loaded += [names[name] or "" for name in ("src", "href") if name in names]
        self.blocked += [name for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.blocked.append(tag)


def test_there_is_no_page_by_default() -> None:
    """Its path is an unknown endpoint."""
    for path in ("/", "/playground/main.js", "/playground/settings.json"):
        response = make_client().get(path)
        assert (response.status_code, response.get_json()["code"]) == (404, "endpoint_not_found")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_served_as_it_is(client: FlaskClient, path: Path) -> None:
    """No token is needed. The media type is right, and the browser revalidates each time."""
    response = client.get("/" if path == PAGE / "index.html" else f"/playground/{path.name}")
    assert response.status_code == 200
    assert response.data == path.read_bytes()
    expected = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".svg": "image/svg+xml"}
    assert expected[path.suffix] in response.headers["Content-Type"]
    assert response.headers["Cache-Control"] == "no-cache"
    again = client.get(response.request.path, headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "%2fetc%2fpasswd"])
def test_nothing_else_is(client: FlaskClient, name: str) -> None:
    """No file outside the folder is served."""
    assert client.get(f"/playground/{name}").status_code == 404


def test_the_policy_admits_nothing_foreign(client: FlaskClient) -> None:
    """Inline scripts, inline styles and frames are forbidden. Connections go to the broker and Supabase only."""
    policy = client.get("/").headers["Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == rules["img-src"] == ["'self'"]
    assert rules["connect-src"] == ["'self'", REQUIRED["SUPABASE_URL"]]
    assert rules["form-action"] == rules["base-uri"] == rules["frame-ancestors"] == ["'none'"]
    assert "unsafe" not in policy
    headers = client.get("/").headers
    assert len(headers.getlist("Content-Security-Policy")) == 1
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_policy_names_no_path_of_the_url() -> None:
    """A source has only scheme, host and port."""
    policy = make_client(PLAYGROUND="on", SUPABASE_URL="https://abc.supabase.co:8443/x").get("/").headers
    assert "connect-src 'self' https://abc.supabase.co:8443;" in policy["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/playground/main.js"])
def test_the_page_s_files_are_logged_and_counted(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are logged like every other response."""
    caplog.set_level("INFO", "broker.request")
    client = make_client(PLAYGROUND="on")
    assert client.get(path).status_code == 200
    (line,) = (record for record in caplog.records if record.name == "broker.request")
    endpoint = "/" if path == "/" else "/playground/<name>"
    assert (line.endpoint, line.status) == (endpoint, 200)  # type: ignore[attr-defined]
    counted = f'gpt_broker_requests_total{{endpoint="{endpoint}",method="GET",status_code="200"}} 1.0'
    assert counted in client.get("/metrics").text


def test_the_page_keeps_its_policy() -> None:
    """No code is inline, and every file that the page names is in its folder."""
    parser = Inline()
    parser.feed((PAGE / "index.html").read_text())
    assert parser.blocked == []
    assert {name.removeprefix("playground/") for name in parser.loaded} <= {path.name for path in FILES}
    for path in FILES:
        code = re.sub(r"^\s*//.*$|<svg xmlns=\S+", "", path.read_text(), flags=re.MULTILINE)
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", code), path


def test_the_page_gives_advice_on_existing_faults() -> None:
    """A renamed code must keep its advice."""

    def codes(kind: type[Fault]) -> set[str]:
        return {kind.openai_code or kind.code}.union(*(codes(one) for one in kind.__subclasses__()))

    advice = (PAGE / "refusals.js").read_text().partition("ADVICE = {")[2].partition("};")[0]
    named = set(re.findall(r"^  ([a-z_]+): \"", advice, re.MULTILINE))
    assert len(named) > 10
    assert named - codes(Fault) == {"context_length_exceeded"}  # OpenAI's own word


def test_the_pages_settings_hold_no_secret() -> None:
    """They are Supabase's URL, the public key if the operator set it, and the models."""
    known = make_client(PLAYGROUND="on", SUPABASE_ANON_KEY="sb_publishable_x").get("/playground/settings.json")
    assert known.get_json() == {
        "supabase_url": REQUIRED["SUPABASE_URL"],
        "anon_key": "sb_publishable_x",
        "models": ["gpt-4o", "gpt-4o-mini"],
    }
    assert make_client(PLAYGROUND="on").get("/playground/settings.json").get_json()["anon_key"] is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_of_the_page_is_short(path: Path) -> None:
    """The limit of 200 lines holds for them, too."""
    assert len(path.read_text().splitlines()) <= 200
