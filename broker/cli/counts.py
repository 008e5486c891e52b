"""The commands that carry a tenant's counts to another Redis."""

from typing import TextIO

import click

from broker.cli.project import Project, reports_failures
from broker.quota.users import copies


@click.command("export")
@reports_failures
def export_counts(project: Project) -> None:
    """Print all that Redis holds of this project: counts, blocks, stored responses' owners, the audit log."""
    for line in copies.lines_of(project.redis, project.name):
        click.echo(line)


@click.command("import")
@click.argument("file", type=click.File("r"), default="-")
@reports_failures
def import_counts(project: Project, file: TextIO) -> None:
    """Write what `export` printed into the Redis of the settings; the same keys there are replaced."""
    try:
        number = copies.write(project.redis, project.name, file)
    except copies.NoCopy as wrong:
        raise click.ClickException(str(wrong)) from None
    click.echo(f"{number:,} keys are written")


COMMANDS = (export_counts, import_counts)
