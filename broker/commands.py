"""Commands for the operator: `python -m broker.commands check`. They start nothing and change nothing."""

import os
from pathlib import Path

import click
from dotenv import load_dotenv

from broker.settings import Settings, SettingsInvalid

ROOT = Path(__file__).resolve().parent.parent


@click.group()
def cli() -> None:
    """GPT Broker, for its operator. Settings come from the environment, or from the file that ENV_FILE names."""
    load_dotenv(ROOT / os.environ.get("ENV_FILE", ".env"))


@cli.command()
def check() -> None:
    """Say all that is wrong with the settings; status 0 if nothing is."""
    try:
        Settings.from_environ(os.environ)
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
    click.echo("The settings can be used.")


if __name__ == "__main__":
    cli()
