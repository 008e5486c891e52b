"""The operator's commands."""

import os

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from tests.apps import REQUIRED


@pytest.fixture
def environ() -> dict[str, str | None]:
    """Valid settings, and no env file of this machine."""
    return {**REQUIRED, "ENV_FILE": os.devnull}


def test_good_settings_are_said_to_be_good(environ: dict[str, str | None]) -> None:
    """With exit status 0."""
    result = CliRunner().invoke(cli, ["check"], env=environ)
    assert (result.exit_code, result.output) == (0, "The settings can be used.\n")


def test_all_that_is_wrong_is_named(environ: dict[str, str | None]) -> None:
    """In one message without secrets, with a non-zero exit status."""
    result = CliRunner().invoke(cli, ["check"], env=environ | {"DAILY_LIMIT": "many", "SUPABASE_URL": ""})
    assert result.exit_code == 1
    assert "  - SUPABASE_URL is required\n  - DAILY_LIMIT must be" in result.output
    assert "planted" not in result.output
