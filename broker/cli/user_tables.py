"""Users' days as text for a terminal and as CSV. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from broker.quota.users.directory import UserDay
from broker.settings.prices import NANO

COLUMNS: tuple[tuple[str, Callable[[UserDay], object]], ...] = (
    ("user", lambda day: day.id),
    ("calls", lambda day: day.all_calls),
    ("tokens", lambda day: day.all_tokens),
    ("dollars", lambda day: dollars(day.all_spend)),
    ("calls_in_flight", lambda day: day.calls_in_flight),
    ("granted_calls", lambda day: day.granted_calls),
    ("granted_tokens", lambda day: day.granted_tokens),
    ("granted_dollars", lambda day: dollars(day.granted_spend)),
    ("reset_calls", lambda day: day.reset_calls),
    ("reset_tokens", lambda day: day.reset_tokens),
    ("reset_dollars", lambda day: dollars(day.reset_spend)),
    ("blocked", lambda day: "yes" if day.is_blocked else "no"),
)
# Spreadsheets run a cell that begins so as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
RANKINGS: dict[str, Callable[[UserDay], int]] = {
    "calls": lambda day: day.all_calls,
    "tokens": lambda day: day.all_tokens,
    "dollars": lambda day: day.all_spend,
}


def dollars(nano: int) -> str:
    """Return nano-dollars as dollars, with six decimals."""
    return f"{nano / NANO:.6f}"


def printable(text: str) -> str:
    """Return `text` without control characters of a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)


def harmless(text: str) -> str:
    """Return `text` as a CSV cell that no spreadsheet runs."""
    return "'" + text if text.startswith(_FORMULA) else text


def as_csv(day: str, users: Iterable[UserDay]) -> str:
    """Return all columns of all users, with the day in front (RFC 4180)."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", *(name for name, _ in COLUMNS)])
    for user in users:
        writer.writerow([day, *(harmless(printable(str(read(user)))) for _, read in COLUMNS)])
    return out.getvalue()


def ranking(users: Iterable[UserDay], by: str, top: int) -> str:
    """Return the `top` users by "calls", "tokens" or "dollars" as a table."""
    rank = RANKINGS[by]
    first = sorted(users, key=lambda day: (-rank(day), day.id))[:top]
    rows = [
        (printable(day.id), f"{day.all_calls:,}", f"{day.all_tokens:,}", dollars(day.all_spend), _notes(day))
        for day in first
        if rank(day)
    ]
    return table(("user", "calls", "tokens", "dollars", ""), rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first and the last one to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = []
    for row in (heads, *rows):
        cells = [
            text.ljust(width) if column in (0, len(heads) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _notes(day: UserDay) -> str:
    notes = [
        (day.is_blocked, "blocked"),
        (day.granted_calls or day.granted_tokens or day.granted_spend, "granted more"),
        (day.all_calls > day.calls, f"{day.reset_calls:,} given back"),
        (day.calls_in_flight, f"{day.calls_in_flight:,} in flight"),
    ]
    return ", ".join(text for holds, text in notes if holds)
