"""The operator's commands: `python -m broker.cli check`, `doctor`, `rehearse`, `export`, `import`, and about users."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from broker.cli import counts, users
from broker.cli.environment import load_env_file, read_settings
from broker.doctor.checks import examine
from broker.doctor.findings import Finding
from broker.doctor.rehearsal import rehearse as rehearse_models

ROOT = Path(__file__).resolve().parents[2]


@click.group()
def cli() -> None:
    """GPT Broker, for its operator. Settings come from the environment, or from the file that ENV_FILE names."""
    load_env_file(ROOT / os.environ.get("ENV_FILE", ".env"))


@cli.command()
def check() -> None:
    """Report every problem of the settings; exit with 0 if there is none."""
    read_settings()
    click.echo("The settings can be used.")


@cli.command()
def doctor() -> None:
    """Check every part that the broker needs, and its public URL (BASE_URL); say what to do.

    Exits with 1 if something is wrong, with 3 if there are only remarks, otherwise with 0.
    """
    _report(examine(read_settings(), os.environ))


@cli.command()
def rehearse() -> None:
    """Ask OpenAI once per name in MODELS and API; say which parameters would be left out or refused."""
    _report(rehearse_models(read_settings()))


def _report(findings: Iterable[Finding]) -> None:
    """Print each finding; exit with 1 if something is wrong, with 3 if there are only remarks."""
    verdicts = set()
    for finding in findings:
        verdicts.add(finding.verdict)
        click.echo(f"{finding.verdict:11}  {finding.subject}" + (f": {finding.todo}" if finding.todo else ""))
    if verdicts & {"WRONG", "remark"}:
        raise click.exceptions.Exit(1 if "WRONG" in verdicts else 3)


for command in (*users.COMMANDS, *counts.COMMANDS):
    cli.add_command(command)
