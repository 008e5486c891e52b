"""LiteLLM's proxy, the usual choice, in its own virtual environment `.litellm`.

Its fastest settings (https://docs.litellm.ai/docs/proxy/prod): one worker on Granian, measured to be a
quarter cheaper than the default uvicorn; a key, no database, no Redis, no callbacks, no metrics. It does less than
the broker: it neither checks users' tokens nor counts their calls.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.broker_process import ROOT, free_port
from tests.benchmarks.contestants import Contestant, Origin
from tests.benchmarks.payloads import MODEL

FOLDER = ROOT / ".litellm"
PROGRAM = FOLDER / "bin" / "litellm"
KEY = "sk-benchmark"
_ENVIRON = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it downloads one at each start
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
}


def install() -> str:
    """Install it if missing. Return the reason for a failure, or an empty string."""
    if PROGRAM.exists():
        return ""
    print("installing LiteLLM into .litellm (once; some minutes)", flush=True)
    for command in (
        (sys.executable, "-m", "venv", str(FOLDER)),
        (str(FOLDER / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "litellm[proxy]"),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{command[1]} failed"
    return ""


class LiteLLM(Contestant):
    """LiteLLM with one worker."""

    name = "litellm"
    keys = (KEY,)

    def __init__(self, folder: Path, origin: Origin) -> None:
        port = free_port()
        settings = folder / "litellm.yaml"
        settings.write_text(_settings(origin))
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self._process = subprocess.Popen(
            (str(PROGRAM), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port), "--run_granian"),
            cwd=folder,
            env=kept | _ENVIRON | origin.trust,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        super().__init__(port, self._process.pid)

    def close(self) -> None:
        """End it at once, with all that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _settings(origin: Origin) -> str:
    return f"""
model_list:
  - model_name: {MODEL}
    litellm_params:
      model: openai/{MODEL}
      api_base: {origin.url}/v1
      api_key: sk-benchmark-0123456789
litellm_settings:
  callbacks: []
  num_retries: 0
  request_timeout: 300
  set_verbose: false
general_settings:
  master_key: {KEY}
"""
