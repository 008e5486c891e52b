"""The broker conforms to its OpenAPI document: schemathesis searches for contradictions."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User

# values that the schema allows and that depend on more than the schema: whose an id is, and what a model can do
HOOKS = """
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    for name in ("previous_response_id", "reasoning_effort"):
        if isinstance(case.body, dict) and isinstance(case.body.get(name), str):
            case.body = {**case.body, name: None}
"""
NewUser = Callable[[BrokerProcess], User]


def test_schemathesis_finds_no_contradiction(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, tmp_path: Path
) -> None:
    """No 5xx, no undocumented status, header or member; valid input is accepted, invalid input refused."""
    user = new_user(start_broker(DAILY_LIMIT="100000", WEB_CONCURRENCY="1"))
    program = Path(sys.executable).parent / "schemathesis"
    options = ["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "20261124", "--no-color"]
    options += ["--checks", "all", "--header", f"Authorization: Bearer {user.token}"]
    (tmp_path / "hooks.py").write_text(HOOKS)
    run = subprocess.run(
        [program, "run", user.url + "/openapi.json", *options],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SCHEMATHESIS_HOOKS": "hooks"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"Tested: 16\b", run.stdout), run.stdout[-5000:]
    assert len(openai.completions()) > 20
