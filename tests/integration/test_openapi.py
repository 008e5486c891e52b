"""The broker does what its OpenAPI document says, whatever is sent: schemathesis looks for a contradiction."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User

NewUser = Callable[[BrokerProcess], User]


def test_schemathesis_finds_no_contradiction(
    start_broker: StartBroker, new_user: NewUser, openai: OpenAIStandIn, tmp_path: Path
) -> None:
    """No 5xx, no undocumented status, header or member, nothing valid refused, nothing invalid accepted."""
    user = new_user(start_broker(DAILY_LIMIT="100000", WEB_CONCURRENCY="1"))
    program = Path(sys.executable).parent / "schemathesis"
    options = ["--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "20261124", "--no-color"]
    options += ["--checks", "all", "--header", f"Authorization: Bearer {user.token}"]
    run = subprocess.run(
        [program, "run", user.url + "/openapi.json", *options],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert re.search(r"Tested: 12\b", run.stdout), run.stdout[-5000:]
    assert len(openai.completions()) > 20
