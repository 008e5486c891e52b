"""The settings that a command works with."""

import os
from pathlib import Path

import click

from broker.settings.secrets import EnvFileInvalid, read_env_file
from broker.settings.settings import Settings, SettingsInvalid


def load_env_file(path: Path) -> None:
    """Set what the environment does not, as the broker does at its start. Raises `click.ClickException`."""
    try:
        values = read_env_file(path)
    except EnvFileInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
    os.environ.update({name: value for name, value in values.items() if value and not os.environ.get(name)})


def read_settings() -> Settings:
    """Return the settings of the environment. Raises `click.ClickException`, which names every problem."""
    try:
        return Settings.from_environ(os.environ)
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
