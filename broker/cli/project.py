"""Shared by the commands about users: the project in its Redis, who the operator is, and options."""

import functools
import getpass
import json
import os
from collections.abc import Callable
from typing import Any

import click

from broker.cli.environment import read_settings
from broker.cli.user_tables import printable
from broker.quota.calls.records import expiry_of
from broker.quota.redis_clients.urls import redis_client
from broker.quota.users.audit_log import AuditLog
from broker.quota.users.changes import Changes
from broker.quota.users.directory import Directory
from broker.quota.users.redis_access import RedisAccess, RedisFailed
from broker.settings.parsers import id_list

MOST = 128  # characters of a name in the audit log


class Parsed(click.ParamType[Any]):
    """A value that a parser of settings accepts."""

    name = "value"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return what the parser returns; its message ends the command."""
        try:
            return self._parse(str(value))
        except ValueError as wrong:
            self.fail(str(wrong), param, ctx)


class Project:
    """The project that the settings name, in its Redis."""

    def __init__(self) -> None:
        self.settings = read_settings()
        if self.settings.redis_url is None:
            raise click.ClickException("REDIS_URL is unset: the worker counts in its memory, out of a command's reach")
        self.redis = RedisAccess(redis_client(self.settings))
        self.name = self.settings.supabase_url.partition("://")[2]
        self.directory = Directory(self.redis, self.name)
        self.audit_log = AuditLog(self.redis, self.name)

    def changes(self, by: str) -> Changes:
        """Return what an operator named `by` may change."""
        return Changes(self.redis, self.name, by, functools.partial(expiry_of, self.settings))


def reports_failures(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: a failure of Redis ends it with one sentence and status 1."""

    @functools.wraps(command)
    def run(**options: object) -> None:
        try:
            command(Project(), **options)
        except RedisFailed as failed:
            raise click.ClickException(str(failed)) from None

    return run


def operator_name() -> str:
    """Return who runs this command, as far as this machine knows."""
    try:
        return f"{getpass.getuser()}@{os.uname().nodename}"
    except (KeyError, OSError):  # a user id without a name, as in a container
        return f"{os.getuid()}@{os.uname().nodename}"


def user_id(text: str) -> str:
    """A user id, read as BLOCKED_IDS reads it: a UUID, in any case, blanks around it. Raises ValueError."""
    try:
        (user,) = id_list(json.dumps([text]))
    except ValueError:
        raise ValueError("must be a user id, such as 123e4567-e89b-12d3-a456-426614174000") from None
    return user


def log_name(text: str) -> str:
    """A name for the audit log, on one line."""
    return printable(text.strip())[:MOST] or operator_name()
