"""The project's rules and documents hold: README, settings reference, layout, budgets."""

import ast
import json
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from broker.settings.settings import Settings
from tests.apps import REQUIRED, make_app
from tests.clients.cases import CLIENTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
READMES = [ROOT / name / "README.md" for name in (".", "deploy/local", "deploy", "tests/benchmarks")]
TOP_LEVEL = {"broker", "config", "deploy", "tests", "wsgi.py", "Makefile", "requirements.txt", "both_up", "both_down",
             "README.md"}  # fmt: skip
FIRST_SETTINGS = 13  # in the README; config/example.env explains all


def tracked() -> list[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]  # the checkout may have another owner
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def code(path: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)


def test_only_known_names_are_at_the_top_level() -> None:
    """A newcomer finds every part by its name."""
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}

    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_package_registry() -> None:
    """The project installs from whatever registry its machine is set up for."""
    address = re.compile(r"--(?:extra-)?index-url|--trusted-host|https?://[^\s\"']*/simple\b|registry\.npmjs|pypi\.org")
    allowed = {ROOT / "Makefile", Path(__file__)}  # they name the options to omit them
    found = [
        path.name for path in tracked() if path not in allowed and address.search(path.read_text(errors="replace"))
    ]

    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "broker").rglob("*.py")), ids=lambda path: path.name)
def test_every_file_and_function_keeps_its_budget(path: Path) -> None:
    """At most 200 lines a file, fewer than 40 a function."""
    assert len(path.read_text().splitlines()) <= 200
    assert [one.name for one in functions(path) if (one.end_lineno or 0) - one.lineno >= 40] == []


def test_the_readme_is_short() -> None:
    """Details belong in a README beside their subject."""
    assert len(README.splitlines()) <= 222


def test_the_readme_lists_every_endpoint_and_no_other() -> None:
    """The table equals the app's URL map."""
    rules = make_app().url_map.iter_rules()
    served = {f"{method} {rule.rule}" for rule in rules for method in (rule.methods or set()) & {"GET", "POST"}}

    assert set(re.findall(r"^\| `((?:GET|POST) /\S*)`", README, re.MULTILINE)) == served


def test_the_readme_lists_the_main_settings_with_their_defaults() -> None:
    """The main settings and their defaults are in the table."""
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    named = re.findall(r"`([A-Z_]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if "| " in row))
    defaults = Settings.from_environ({name: value for name, value in REQUIRED.items() if name != "OPENAI_BASE_URL"})

    assert set(named) <= {field.metadata["variable"] for field in fields(Settings)}
    assert len(named) == FIRST_SETTINGS
    assert f"| `DAILY_LIMIT` | {defaults.daily_limit} |" in table
    assert f"| `OPENAI_BASE_URL` | `{defaults.openai_base_url}` |" in table


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_readme_exist(readme: Path) -> None:
    """Make targets and modules in code blocks exist."""
    lines = [line.partition("#")[0].split() for block in code(readme) for line in block.splitlines() if line]
    targets = {words[1] for words in lines if words[:1] == ["make"] and len(words) > 1}
    modules = {words[2] for words in lines if words[1:2] == ["-m"]}

    assert targets | modules
    assert sorted(targets - phony_targets()) == []
    assert [module for module in modules if not (ROOT / (module.replace(".", "/") + ".py")).is_file()] == []


def test_the_files_that_the_readmes_name_exist() -> None:
    """Files, packages and links exist."""
    layout = README.partition("```\nwsgi.py")[2].partition("```")[0]
    modules = re.findall(r"(?<![.\w])([a-z_.]+\.py)\b", layout)
    packages = re.findall(r"^  ([a-z]+)/", layout, re.MULTILINE)
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    local = re.findall(r"^\| `([a-z_]+\.py)`", READMES[1].read_text(), re.MULTILINE)

    assert len(layout.splitlines()) < 25
    assert modules
    assert packages
    assert links
    assert local
    assert [name for name in modules if not any((ROOT / at / name).is_file() for at in ("", "broker", "config"))] == []
    assert [name for name in packages if not (ROOT / "broker" / name / "__init__.py").is_file()] == []
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert [name for name in local if not (ROOT / "deploy" / "local" / name).is_file()] == []


def test_every_promise_of_the_readme_names_a_test_that_exists() -> None:
    """Every row names a test."""
    section = README.partition("## What happens when…")[2].partition("\n## ")[0]
    rows = [row.split("|")[1:-1] for row in section.splitlines() if row.startswith("| **")]
    shown = [re.findall(r"`(\w+)::(\w+)`", row[2]) for row in rows]
    missing = [
        f"{file}::{name}"
        for row in shown
        for file, name in row
        if name not in {one.name for one in functions(ROOT / "tests" / "integration" / f"{file}.py")}
    ]

    assert len(rows) > 10
    assert all(shown)
    assert missing == []


def phony_targets() -> set[str]:
    """The targets of the Makefile, those of each tenant included, from make's own database."""
    command = ["make", "--question", "--print-data-base", "help"]
    database = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", database, re.MULTILINE)
    assert phony
    return set(phony[1].split())


def test_make_help_shows_every_target() -> None:
    """`make` prints the list; targets that exist for each tenant are one line."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    names = re.findall(r"^  make (\S+)", shown, re.MULTILINE)
    tenants = shown.rpartition(": ")[2].split()

    assert tenants == ["sksndev", "techsksn"]
    assert {name.replace("<tenant>", tenant) for name in names for tenant in tenants} == phony_targets()


@pytest.mark.parametrize("target", ["deploy", "rollback", "backup-nobody", "upgrade-redis"])
def test_a_target_without_a_tenant_says_so(target: str) -> None:
    """The name of a folder, `deploy`, is no exception: make would do nothing, with status 0."""
    command = ["make", "--no-print-directory", target, "TENANT=sksndev"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert f"name a tenant: make {target.removesuffix('-nobody')}-<tenant>, one of sksndev techsksn." in done.stderr


@pytest.mark.parametrize("target", ["deploy-sksndev", "rollback-sksndev"])
def test_a_misspelt_place_of_a_release_is_refused(target: str) -> None:
    """`ON=kubernets` must not act on the Docker host."""
    command = ["make", "--no-print-directory", "--dry-run", target]
    commands = [[*command, f"ON={place}"] for place in ("kubernets", "kubernetes", "")]
    wrong, cluster, host = (
        subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True) for command in commands
    )

    assert wrong.returncode == 2
    assert "ON=kubernets is unknown" in wrong.stderr
    assert wrong.stdout == ""
    verb = target.partition("-")[0]
    assert cluster.stdout == f"deploy/kubernetes/release {verb} sksndev\n"
    assert host.stdout == f"deploy/stack {verb} sksndev\n"


# the only modules outside a package
IN_BROKER = {"__init__.py", "app.py", "caller.py", "active_calls.py", "strict_json.py"}
PACKAGES = sorted({path.parent for path in (ROOT / "broker").rglob("*.py")} - {ROOT / "broker"})


def test_only_the_named_files_are_directly_in_broker() -> None:
    """Everything else has a package."""
    assert {path.name for path in (ROOT / "broker").glob("*.py")} == IN_BROKER


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT / "broker")))
def test_every_package_has_a_docstring(package: Path) -> None:
    """One or two sentences in `__init__.py`."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))

    assert docstring
    assert 1 <= len(re.findall(r"[.;](?:\s|$)", docstring)) <= 3


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT / "broker")))
def test_a_package_can_be_taken_in_at_a_glance(package: Path) -> None:
    """Two to nine modules besides `__init__.py`."""
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}

    assert 2 <= len(modules) <= 9


def test_every_unit_test_mirrors_a_module() -> None:
    """`tests/unit/auth/test_tokens.py` tests `broker/auth/tokens.py`, so that each is found from the other."""
    unit = ROOT / "tests" / "unit"
    tests = [
        path.relative_to(unit)
        for package in PACKAGES
        for path in (unit / package.relative_to(ROOT / "broker")).glob("test_*.py")
    ]
    modules = [ROOT / "broker" / path.parent / (path.name.removeprefix("test_")) for path in tests]

    assert len(tests) > 40
    assert [str(module) for module in modules if not module.is_file() and not module.with_suffix("").is_dir()] == []


@pytest.mark.parametrize(
    "readme", [ROOT / "README.md", ROOT / "tests" / "clients" / "README.md"], ids=["root", "clients"]
)
def test_every_tested_client_is_in_the_table_of_a_readme(readme: Path) -> None:
    """A developer finds the client, and how to set it up."""
    rows = re.findall(r"^\| (`.*?) \|", readme.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}

    assert {client.name.partition(" ")[0] for client in CLIENTS} <= named


def test_every_client_is_pinned() -> None:
    """The newest release that was tested, and no other."""
    npm = json.loads((ROOT / "tests" / "clients" / "package.json").read_text())["dependencies"]
    pypi = re.findall(r"^([a-z-]+)==", (ROOT / "config" / "development.txt").read_text(), re.MULTILINE)

    # an earlier major release has a name of its own
    assert [version for version in npm.values() if not re.fullmatch(r"(?:npm:[@a-z/-]+@)?[\d.]+", version)] == []
    assert [one.name for one in CLIENTS if not {one.name.partition(" ")[0], f"{one.name}-slim"} & {*npm, *pypi}] == []


def test_the_workflow_runs_what_a_change_has_to_pass() -> None:
    """The same command as on a developer's machine, within half an hour."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["run"]

    assert ".ci/run" in job["steps"][-1]["run"]
    assert job["timeout-minutes"] <= 30


def test_the_files_that_contributing_names_exist() -> None:
    """The lists of files to touch are up to date."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:broker|config|deploy|tests)/[\w./-]+|README\.md)`", text))

    assert len(named) > 15
    assert [name for name in sorted(named) if "NAME" not in name and not (ROOT / name).exists()] == []
