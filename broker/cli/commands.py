"""The operator's commands: `python -m broker.cli check` and `doctor`. They start nothing and change nothing."""

import os
from collections.abc import Iterable
from pathlib import Path

import click
from dotenv import load_dotenv

from broker.doctor.checks import examine
from broker.doctor.findings import Finding
from broker.doctor.rehearsal import rehearse as rehearse_models
from broker.settings.settings import Settings, SettingsInvalid

ROOT = Path(__file__).resolve().parents[2]


@click.group()
def cli() -> None:
    """GPT Broker, for its operator. Settings come from the environment, or from the file that ENV_FILE names."""
    load_dotenv(ROOT / os.environ.get("ENV_FILE", ".env"), interpolate=False)


@cli.command()
def check() -> None:
    """Report every problem of the settings; exit with 0 if there is none."""
    _settings()
    click.echo("The settings can be used.")


@cli.command()
def doctor() -> None:
    """Check every part that the broker needs, and its public URL (BASE_URL); say what to do.

    Exits with 1 if something is wrong, with 3 if there are only remarks, otherwise with 0.
    """
    _report(examine(_settings(), os.environ))


@cli.command()
def rehearse() -> None:
    """Ask OpenAI once per name in MODELS and API; say which parameters would be left out or refused."""
    _report(rehearse_models(_settings()))


def _report(findings: Iterable[Finding]) -> None:
    """Print each finding; exit with 1 if something is wrong, with 3 if there are only remarks."""
    verdicts = set()
    for finding in findings:
        verdicts.add(finding.verdict)
        click.echo(f"{finding.verdict:11}  {finding.subject}" + (f": {finding.todo}" if finding.todo else ""))
    if verdicts & {"WRONG", "remark"}:
        raise click.exceptions.Exit(1 if "WRONG" in verdicts else 3)


def _settings() -> Settings:
    try:
        return Settings.from_environ(os.environ)
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
