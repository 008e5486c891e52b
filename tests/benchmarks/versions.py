"""The versions of all programs, and the machine."""

import importlib.metadata
import platform
import re
import subprocess
from pathlib import Path

from deploy.local.broker_process import ROOT
from tests.benchmarks.peer import FOLDER
from tests.benchmarks.processors import ALL

OURS = ("flask", "gunicorn", "gevent", "greenlet", "requests", "urllib3", "redis", "hiredis", "pyjwt", "cryptography",
        "prometheus-client", "prometheus-flask-exporter", "werkzeug")  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions by name."""
    return {
        "machine": f"{len(ALL)} processors ({_processor()}), {platform.system()} {platform.release()}",
        "broker": _commit(),
        "Python": platform.python_version(),
        "nginx": _first(_said("nginx", "-v"), r"nginx/(\S+)"),
        "Redis": _first(_said("redis-server", "--version"), r"v=(\S+)"),
        "LiteLLM": _peer("litellm"),
        "Granian": _peer("granian"),
        **{name: importlib.metadata.version(name) for name in OURS},
    }


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _first(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "unknown"


def _commit() -> str:
    return _said("git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=10").strip()


def _processor() -> str:
    return _first(Path("/proc/cpuinfo").read_text(), r"model name\s*: (.*)")


def _peer(name: str) -> str:
    found = list(FOLDER.glob(f"lib/python*/site-packages/{name}-*.dist-info"))
    return found[0].name.removeprefix(f"{name}-").removesuffix(".dist-info") if found else "not installed"
