"""The operator's commands."""

import os

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
