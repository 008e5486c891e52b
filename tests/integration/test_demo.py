"""`make demo`: the first output that a newcomer sees, and the page that it names."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from deploy.local.broker_process import ROOT
from deploy.local.openai_api import ANSWER

DEMO = (sys.executable, "-u", "-m", "deploy.local.demo")


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """The demo, serving."""
    environ = {name: value for name, value in os.environ.items() if name not in ("ONCE", "REDIS_URL")}
    with subprocess.Popen(DEMO, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()
        process.communicate(timeout=20)


def test_the_demo_names_the_page_first_and_serves_it(demo: subprocess.Popen[str]) -> None:
    """The first lines have its address and the sign-in; the demo ends without an error."""
    assert demo.stdout
    lines = [next(line for line in demo.stdout if line.strip())]
    for line in demo.stdout:
        lines.append(line)
        if "Serving until" in line:
            break
    address = re.search(r"http://\S+/", lines[0])
    assert address
    assert "ada@example.com" in lines[0]
    assert "<title>GPT Broker</title>" in requests.get(address[0], timeout=5).text
    assert ANSWER in "".join(lines)
    demo.terminate()
    assert demo.wait(20) == 0
