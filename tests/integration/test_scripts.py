"""The operator's shell scripts pass shellcheck."""

import shutil
import subprocess

from deploy.local.broker_process import ROOT

SHARED = "SC2154,SC2034"  # sourced files use each other's variables


def test_shellcheck_passes() -> None:
    """Every script and every sourced file has no warning and no error."""
    program = shutil.which("shellcheck")
    assert program, "shellcheck is missing: `make test` installs it"
    named = ("both_up", "both_down", ".ci/run", "deploy/stack", "deploy/nginx/render", "tests/containers/run")
    scripts = [*named, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "deploy" / "scripts").glob("*.sh"))]
    command = (program, "--external-sources", "--severity=warning", f"--exclude={SHARED}", *scripts)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
