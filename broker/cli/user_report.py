"""One user's day as text: use, limits, grants, state. Pure."""

from broker.cli.user_tables import dollars
from broker.quota.budgets.limits import Limits
from broker.quota.users.audit_log import Line
from broker.quota.users.directory import UserDay
from broker.settings.settings import Settings


def report(user: UserDay, day: str, limits: Limits, settings: Settings) -> str:
    """Return the lines about `user`. `limits` are those of a token that names no plan."""
    rows = [
        ("user", user.id),
        ("day", f"{day} (UTC)"),
        ("state", _state(user, settings)),
        ("calls", _level(user.calls, limits.calls, user.granted_calls)),
        ("tokens", _level(user.tokens, limits.tokens, user.granted_tokens)),
        ("dollars", _level(user.spend, limits.spend, user.granted_spend, is_money=True)),
        (
            "in flight",
            f"{user.calls_in_flight:,} calls: {user.reserved_tokens:,} tokens, {dollars(user.reserved_spend)} dollars",
        ),
        (
            "given back",
            f"{user.reset_calls:,} calls, {user.reset_tokens:,} tokens, {dollars(user.reset_spend)} dollars by reset",
        ),
        ("abandoned", f"{user.abandoned_calls:,} calls before the first text"),
    ]
    if settings.plans.plans:
        rows.append(("note", "a token that names a plan has the limits of that plan"))
    return "\n".join(f"{name:11}  {text}" for name, text in rows)


def audit(lines: list[Line]) -> str:
    """Return one line a change, oldest first."""
    if not lines:
        return "no changes yet"
    return "\n".join(
        f"{line.time}  {line.by}  {line.action} {line.user}" + (f": {line.details}" if line.details else "")
        for line in lines
    )


def _state(user: UserDay, settings: Settings) -> str:
    if user.is_blocked:
        return "blocked (make unblock admits again)"
    if user.id in settings.blocked_ids:
        return "blocked (BLOCKED_IDS)"
    return "on ID_WHITE_LIST: counted, never refused" if user.id in settings.id_white_list else "may call"


def _level(used: int, limit: int | None, granted: int, *, is_money: bool = False) -> str:
    def show(amount: int) -> str:
        return dollars(amount) if is_money else f"{amount:,}"

    if limit is None:
        return f"{show(used)}, no limit"
    grant = f" ({show(limit)} and {show(granted)} granted)" if granted else ""
    return f"{show(used)} of {show(limit + granted)}{grant}, {show(max(0, limit + granted - used))} left"
