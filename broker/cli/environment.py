"""The settings that a command works with."""

import os

import click

from broker.settings.settings import Settings, SettingsInvalid


def read_settings() -> Settings:
    """Return the settings of the environment. Raises `click.ClickException`, which names every problem."""
    try:
        return Settings.from_environ(os.environ)
    except SettingsInvalid as invalid:
        raise click.ClickException(str(invalid)) from None
