"""`make deploy-<tenant> ON=kubernetes`: the commands for Helm."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[3] / "deploy" / "kubernetes" / "release"
HELM = """#!/bin/sh
[ "$1" = version ] && echo "$HELM_VERSION" && exit
printf '%s\\n' "$@" >"$ASKED"
"""


class Checkout:
    """A repository with the script, and a Helm that only records its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, folder / "asked"
        chart = folder / "deploy" / "kubernetes"
        chart.mkdir(parents=True)
        shutil.copy(RELEASE, chart)
        helm = folder / "bin" / "helm"
        helm.parent.mkdir()
        helm.write_text(HELM)
        helm.chmod(0o755)
        (chart / "values.sksndev.yaml").write_text("{}\n")
        self.git("init", "--quiet")
        self.git("add", "deploy")
        self.git("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "a")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def release(self, *words: str, version: str = "v4.1.0", **environ: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | environ
        environment |= {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "ASKED": str(self.asked),
            "HELM_VERSION": version,
        }
        script = self.folder / "deploy" / "kubernetes" / "release"
        return subprocess.run([script, *words], check=False, capture_output=True, text=True, env=environment)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize(("version", "undo"), [("v3.19.0", "--atomic"), ("v4.1.0", "--rollback-on-failure")])
def test_a_deploy_is_one_release_of_this_commit_that_undoes_itself(checkout: Checkout, version: str, undo: str) -> None:
    """The tag is the commit. Helm waits for the pods and rolls back if they do not start."""
    done = checkout.release("deploy", "sksndev", version=version)
    asked = checkout.asked.read_text().split()

    assert done.returncode == 0, done.stderr
    assert asked[:4] == ["upgrade", "--install", "sksndev", "deploy/kubernetes"]
    assert f"image.tag={checkout.git('rev-parse', '--short=12', 'HEAD')}" in asked
    assert {"--wait", undo, "gpt-broker"} <= set(asked)


def test_a_rollback_goes_to_the_release_before_or_the_one_that_is_named(checkout: Checkout) -> None:
    """Helm keeps the last five."""
    checkout.release("rollback", "sksndev", NAMESPACE="tenants")
    assert checkout.asked.read_text().split()[:4] == ["rollback", "sksndev", "--namespace", "tenants"]
    checkout.release("rollback", "sksndev", TO="7")
    assert checkout.asked.read_text().split()[:3] == ["rollback", "sksndev", "7"]


def test_missing_parts_are_named_before_helm_runs(checkout: Checkout) -> None:
    """Missing values, uncommitted changes and unknown commands are reported before Helm runs."""
    values = checkout.folder / "deploy" / "kubernetes" / "values.sksndev.yaml"
    refusals = [checkout.release("deploy", "nobody"), checkout.release("remove", "sksndev"), checkout.release("deploy")]
    values.write_text("workers: 4\n")
    refusals.append(checkout.release("deploy", "sksndev"))

    words = ("values.nobody.yaml is missing", "there is no 'remove'", "usage", "not committed")
    assert all(word in refusal.stderr for word, refusal in zip(words, refusals, strict=True))
    assert all(refusal.returncode != 0 for refusal in refusals)
    assert not checkout.asked.exists()
