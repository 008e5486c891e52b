"""`python -m broker.cli`."""

from broker.cli.commands import cli

cli()
