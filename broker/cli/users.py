"""The operator's commands about users, over Redis. They need no broker to run, and reach the workers of every replica.

Changes are in force with the user's next call, on every worker, and leave a line in the audit log.
"""

import sys

import click

from broker.caller import Caller
from broker.cli import user_report, user_tables
from broker.cli.progress import Progress
from broker.cli.project import Parsed, Project, log_name, operator_name, reports_failures, user_id
from broker.quota.budgets.limits import LimitRules
from broker.quota.calls.keys import Day, day_named
from broker.quota.users.changes import Amounts
from broker.quota.users.directory import UserDay
from broker.settings import parsers, prices

_user = click.argument("user", type=Parsed(user_id))
_by = click.option("--by", type=Parsed(log_name), default=operator_name, help="Your name for the audit log.")
_day = click.option("--day", type=Parsed(day_named), help="A UTC date, such as 2026-11-24. Default: today.")


@click.command()
@_day
@click.option("--top", type=click.IntRange(1), default=10, help="Users in each table.")
@click.option("--csv", "is_csv", is_flag=True, help="All users as CSV.")
@click.option("--progress/--no-progress", default=sys.stderr.isatty, help="Draw a progress bar on stderr.")
@reports_failures
def users(project: Project, day: Day | None, top: int, *, is_csv: bool, progress: bool) -> None:
    """Show the top users of a day by calls, tokens and money."""
    day = day or project.directory.today()
    found: list[UserDay] = []
    bar = Progress(project.redis.count_keys() if progress else 0, is_shown=progress)
    for looked_at, rows in project.directory.users(day):
        found += rows
        bar.show(looked_at, len(found))
    bar.end()
    if is_csv:
        by_calls = sorted(found, key=lambda one: (-one.all_calls, one.id))
        click.echo(user_tables.as_csv(day.name, by_calls), nl=False)
        return
    click.echo(f"{day.name} (UTC): {len(found):,} users")
    for ranking in user_tables.RANKINGS if found else ():
        click.echo(f"\nby {ranking}\n{user_tables.ranking(found, ranking, top)}")


@click.command()
@_user
@_day
@reports_failures
def user(project: Project, user: str, day: Day | None) -> None:
    """Show one user's day, and the changes that an operator made for this user."""
    day = day or project.directory.today(user)
    limits = LimitRules(project.settings).limits_of(Caller(user, 0))
    click.echo(user_report.report(project.directory.user(user, day), day.name, limits, project.settings))
    if lines := [line for line in project.audit_log.lines(1000) if line.user == user]:
        click.echo("\n" + user_report.audit(lines))


@click.command()
@_user
@_by
@reports_failures
def block(project: Project, user: str, by: str) -> None:
    """Refuse a user's calls with 403 until `unblock`, and end the open ones."""
    is_new = project.changes(by).block(user, project.directory.today(user))
    click.echo(f"{user} is blocked" + ("" if is_new else ", as before") + "; open answers end within a second")


@click.command()
@_user
@_by
@reports_failures
def unblock(project: Project, user: str, by: str) -> None:
    """Admit a blocked user again."""
    was_blocked = project.changes(by).unblock(user, project.directory.today(user))
    click.echo(f"{user} may call again" if was_blocked else f"{user} was not blocked")
    if user in project.settings.blocked_ids:
        raise click.ClickException("BLOCKED_IDS still names this user: change the setting and reload")


@click.command()
@_user
@_by
@reports_failures
def reset(project: Project, user: str, by: str) -> None:
    """Give a user today's finished calls back, with their tokens and money."""
    given = project.changes(by).reset(user, project.directory.today(user))
    amounts = f"{given.calls:,} calls, {given.tokens:,} tokens, {user_tables.dollars(given.spend)} dollars"
    click.echo(f"{user} has back {amounts}; calls in flight count once they are over")


@click.command()
@_user
@click.option("--calls", type=Parsed(parsers.whole(0)), default=0)
@click.option("--tokens", type=Parsed(parsers.whole(0)), default=0)
@click.option("--dollars", type=Parsed(prices.dollars), default="0")
@_by
@reports_failures
def grant(project: Project, user: str, by: str, **amounts: int) -> None:
    """Raise a user's limits for today."""
    more = Amounts(amounts["calls"], amounts["tokens"], amounts["dollars"])
    if more == Amounts():
        raise click.UsageError("say how much: --calls, --tokens or --dollars")
    day = project.directory.today(user)
    total = project.changes(by).grant(user, day, more)
    amount = f"{total.calls:,} calls, {total.tokens:,} tokens, {user_tables.dollars(total.spend)} dollars"
    click.echo(f"{user} has {amount} on top of the limits of {day.name}")


@click.command()
@click.option("--lines", type=click.IntRange(1, 10_000), default=100, help="Lines to show.")
@reports_failures
def audit(project: Project, lines: int) -> None:
    """Show who blocked, unblocked, reset or granted what, and when."""
    click.echo(user_report.audit(project.audit_log.lines(lines)))


COMMANDS = (users, user, block, unblock, reset, grant, audit)
