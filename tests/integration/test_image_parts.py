"""The parts of the image that need no container engine: packages for each processor, equal builds, the list of both."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
LOCK = ROOT / "requirements.txt"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
EPOCH = "1795651200"


def pins(text: str) -> dict[str, tuple[str, set[str]]]:
    """The packages of a lock file: version and hashes by name."""
    blocks = re.findall(r"^([a-z0-9-]+)==(\S+)(?: ;[^\\\n]*)? \\\n((?:    --hash=.*\n)+)", text, re.MULTILINE)
    return {name: (version, set(re.findall(r"sha256:(\w+)", hashes))) for name, version, hashes in blocks}


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_every_package_has_a_wheel_for_each_processor_of_the_image(tmp_path: Path, processor: str) -> None:
    """For amd64 and arm64, the base image's Python and its glibc, with a hash of the lock file: nothing is compiled."""
    python = re.search(r"BASE_IMAGE=python:(\d+\.\d+)-slim", DOCKERFILE)
    assert python
    platforms = [f"--platform={name}_{processor}" for name in ("manylinux2014", "manylinux_2_28", "manylinux_2_34")]
    command = ("pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--no-deps")
    target = ("--require-hashes", f"--python-version={python[1]}", "--implementation=cp", *platforms)
    subprocess.run([BIN / command[0], *command[1:], *target, f"--dest={tmp_path}", "-r", LOCK], check=True)

    wheels = [path.name for path in tmp_path.iterdir()]
    assert len(wheels) == len(pins(LOCK.read_text())) > 20
    assert any(processor in wheel for wheel in wheels)
    assert all(processor in wheel or wheel.endswith("-any.whl") for wheel in wheels)


def test_no_line_of_the_image_depends_on_the_processor() -> None:
    """One Dockerfile builds for all; `docker buildx build --platform` chooses."""
    assert not re.search(r"amd64|x86|arm64|aarch|TARGET(ARCH|PLATFORM)|--platform", DOCKERFILE)
    assert "--only-binary" in (ROOT / "deploy" / "install-packages").read_text()


def test_two_builds_of_the_packages_are_equal(tmp_path: Path) -> None:
    """Every file, its mode and its time; with a part of the lock file, compiled parts among it."""
    some = {"blinker", "click", "itsdangerous", "jinja2", "markupsafe"}
    text = LOCK.read_text()
    blocks = re.findall(r"^[a-z0-9-]+==.*\n(?:    --hash=.*\n)+", text, re.MULTILINE)
    (tmp_path / "some.txt").write_text("".join(block for block in blocks if block.partition("==")[0] in some))
    first, second = (build(tmp_path, name) for name in ("first", "second"))

    assert first == second
    assert {one[2] for one in first.values()} == {int(EPOCH)}
    assert any(path.endswith(".pyc") for path in first)
    assert any(path.endswith(".so") for path in first)


def test_the_image_has_byte_code_of_all_that_a_start_imports(tmp_path: Path) -> None:
    """The standard library too: compiling it at each start takes time, and 3 MB more at rest."""
    command = re.search(r"^RUN (PYTHONHASHSEED=0 python -m compileall (?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    assert command
    environ = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    subprocess.run(("sh", "-c", command[1]), check=True, cwd=ROOT, env=environ)

    compiled = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.pyc")}
    for source in (Path(json.__file__), Path(subprocess.__file__), ROOT / "wsgi.py", ROOT / "broker" / "app.py"):
        name = source.with_suffix(f".{sys.implementation.cache_tag}.pyc").relative_to("/")
        assert name in compiled
    assert not any("site-packages" in path.parts for path in compiled)


def build(folder: Path, name: str) -> dict[str, tuple[bytes, int, int]]:
    """Run the image's script, and return content, mode and time of each file. The folder's name is in some files."""
    place = folder / "broker"
    environ = os.environ | {"SOURCE_DATE_EPOCH": EPOCH, "PATH": f"{BIN}:{os.environ['PATH']}"}
    command = (ROOT / "deploy" / "install-packages", folder / "some.txt", place)
    subprocess.run(command, check=True, env=environ)
    place = place.rename(folder / name)
    found = {}
    for path in sorted(place.rglob("*")):
        state = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(place))] = (content, state.st_mode, int(state.st_mtime))
    return found


def test_the_bill_of_materials_lists_every_package_with_its_hashes() -> None:
    """`make sbom` writes CycloneDX with what the lock file pins, and nothing that differs from time to time."""
    subprocess.run(["make", "--no-print-directory", "sbom"], cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / ".sbom" / "gpt-broker.cdx.json").read_text())
    listed = {
        one["name"]: (one["version"], {known["content"] for known in one["externalReferences"][0]["hashes"]})
        for one in bill["components"]
    }

    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert not {"serialNumber", "timestamp"} & {*bill, *bill["metadata"]}
    assert listed == pins(LOCK.read_text())
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in bill["components"])
