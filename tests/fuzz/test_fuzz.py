"""The parsers' properties, checked by hypothesis and by a coverage-guided search."""

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
from http.client import HTTPException
from pathlib import Path

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.transport.connections import Adapter
from broker.transport.options import Options
from deploy.local.authority import Authority
from tests.fuzz.targets import PARSERS, any_of_all, body, claims, seeds, strictness
from tests.responses import RESPONSES
from tests.servers import ScriptedServer

ROOT = Path(__file__).parents[2]
SECONDS = 8  # of search in each test run; `make fuzz` searches longer
LEAST = 5_000  # inputs that such a search tries even on a slow machine
# as in config/development.in: there is no wheel for others
HAS_FUZZER = sys.version_info < (3, 14) and platform.machine() == "x86_64"

texts = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = st.one_of(st.integers(), st.floats(), st.integers(10**300, 10**310))
names = st.one_of(
    st.sampled_from(["messages", "model", "role", "content", "temperature", "n", "stream", "type"]), texts
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
claim_names = st.sampled_from(["sub", "aud", "iss", "exp", "nbf", "iat", "role", "session_id", "is_anonymous"])


@pytest.mark.parametrize("name", PARSERS)
@settings(deadline=None)
@given(data=st.data())
def test_no_bytes_break_a_property(name: str, data: st.DataObject) -> None:
    """Properties hold for seeds with a part replaced."""
    seed = data.draw(st.sampled_from(seeds(name)))
    start, end = sorted((data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, len(seed)))))
    PARSERS[name](seed[:start] + data.draw(st.binary(max_size=40)) + seed[end:])


@settings(deadline=None)
@given(reader=st.binary(min_size=1, max_size=1), value=values, more=st.dictionaries(names, values, max_size=6))
def test_no_json_breaks_the_reader_of_bodies(reader: bytes, value: object, more: dict[str, object]) -> None:
    """Any value, alone and within a valid body."""
    good = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    for one in (value, {"model": "gpt-4o", "messages": value}, good | more, {"messages": [good["messages"], more]}):
        body(reader + json.dumps(one).encode())
        strictness(json.dumps(one).encode())


@settings(deadline=None)
@given(changes=st.dictionaries(claim_names, values, max_size=5))
def test_no_claims_break_the_reader_of_tokens(changes: dict[str, object]) -> None:
    """Valid claims with any values replaced."""
    claims(json.dumps(json.loads(seeds("claims")[0]) | changes).encode())


def test_make_fuzz_fails_if_a_property_is_broken(tmp_path: Path) -> None:
    """It stops at the first parser and shows the end of its output."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$3" ] || { echo token claims; exit; }\necho "broken by $3"\nexit 77\n')
    python.chmod(0o755)
    command = ["make", "--no-print-directory", "fuzz", f"BIN={tmp_path}"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stdout == "token\nbroken by token\n"


if HAS_FUZZER:

    @pytest.mark.integration
    def test_a_search_finds_no_broken_property(tmp_path: Path) -> None:
        """The search reaches new code and does not stop early."""
        command = [sys.executable, "-m", "tests.fuzz", "all", str(SECONDS), str(tmp_path)]
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        tried = re.search(r"Done (\d+) runs", done.stderr)
        assert tried
        assert int(tried[1]) > LEAST
        assert len(re.findall(r"^#\d+\s+(?:NEW|REDUCE)", done.stderr, re.MULTILINE)) > 10


def test_every_seed_has_the_properties() -> None:
    """The seeds are hostile inputs themselves."""
    for seed in seeds("all"):
        any_of_all(seed)


def through(server: ScriptedServer, options: Options, *, is_tls: bool) -> tuple[int, bytes] | str:
    """Return the status and the body of the server's next response, as a client of OpenAI reads it."""
    url = f"{'https' if is_tls else 'http'}://localhost:{server.port}"
    adapter = Adapter(url, options)
    try:
        request = requests.Request("GET", url + "/").prepare()
        with contextlib.closing(adapter.send(request, stream=True, timeout=(5.0, 5.0))) as response:
            return response.status_code, b"".join(iter(response.raw.read1, b""))
    except (HTTPException, requests.ConnectionError, OSError):
        return "broken"
    finally:
        adapter.close()


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_response_is_the_same_over_tls(authority: Authority, data: st.DataObject) -> None:
    """Seeds with a part replaced, sent by a real server."""
    seed = data.draw(st.sampled_from(RESPONSES))
    start, end = sorted((data.draw(st.integers(0, len(seed))), data.draw(st.integers(0, len(seed)))))
    response = seed[:start] + data.draw(st.binary(max_size=20)) + seed[end:]
    plain, secure = ScriptedServer([response, None]), ScriptedServer([response, None], authority.server_context())
    plain.closes = secure.closes = True
    seen = [through(plain, Options(), is_tls=False), through(secure, Options(ca_file=authority.file), is_tls=True)]
    plain.close()
    secure.close()
    assert seen[0] == seen[1]
