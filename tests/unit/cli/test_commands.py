"""The operator's commands."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from tests.apps import REQUIRED


@pytest.fixture
def environ() -> dict[str, str | None]:
    """Valid settings, without an env file of this machine."""
    return {**REQUIRED, "ENV_FILE": os.devnull}


def test_check_accepts_good_settings(environ: dict[str, str | None]) -> None:
    """`check` exits with status 0."""
    result = CliRunner().invoke(cli, ["check"], env=environ)
    assert (result.exit_code, result.output) == (0, "The settings can be used.\n")


def test_check_names_every_problem(environ: dict[str, str | None]) -> None:
    """`check` prints one message without secrets and exits with a non-zero status."""
    result = CliRunner().invoke(cli, ["check"], env=environ | {"DAILY_LIMIT": "many", "SUPABASE_URL": ""})
    assert result.exit_code == 1
    assert "  - SUPABASE_URL is required\n  - DAILY_LIMIT must be" in result.output
    assert "planted" not in result.output


def test_check_reads_the_env_file_as_the_broker_does(environ: dict[str, str | None], tmp_path: Path) -> None:
    """An empty variable counts as unset, and a line that sets nothing is a mistake."""
    file = tmp_path / "env"
    file.write_text(f"SUPABASE_URL={REQUIRED['SUPABASE_URL']}\n")
    given = environ | {"ENV_FILE": str(file), "SUPABASE_URL": ""}
    assert CliRunner().invoke(cli, ["check"], env=given).exit_code == 0
    file.write_text("DAILY_LIMIT 100\n")
    result = CliRunner().invoke(cli, ["check"], env=given)
    assert result.exit_code == 1
    assert "  - line 1 of the env file must be NAME=value" in result.output
