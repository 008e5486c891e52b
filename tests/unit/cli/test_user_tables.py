"""Users' days as tables and CSV."""

import csv
import io
from dataclasses import replace

import pytest

from broker.cli.user_tables import as_csv, harmless, printable, ranking
from broker.quota.users.directory import UserDay

NOTHING = UserDay("ada", 0, 0, 0, False, *[0] * 10)
ADA = replace(NOTHING, calls=3, tokens=1500, spend=2_000_000, calls_in_flight=1)
GRACE = replace(NOTHING, id="grace", calls=2, reset_calls=5, reset_tokens=10, granted_calls=9, is_blocked=True)


def test_a_ranking_is_by_what_was_used() -> None:
    """What was given back was used as well. Users with nothing of it are left out."""
    assert ranking([ADA, GRACE], "calls", 9).splitlines() == [
        "user   calls  tokens   dollars",
        "grace      7      10  0.000000  blocked, granted more, 5 given back",
        "ada        3   1,500  0.002000  1 in flight",
    ]
    assert [line.split()[0] for line in ranking([GRACE, ADA], "tokens", 1).splitlines()] == ["user", "ada"]
    assert ranking([GRACE], "dollars", 9).splitlines() == ["user  calls  tokens  dollars"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "－1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == "'" + text
    assert harmless("x" + text) == "x" + text


def test_csv_has_every_user_and_column() -> None:
    """Quotes and commas of an id stay within their cell."""
    odd = replace(ADA, id='=a,"b"')
    header, *rows = csv.reader(io.StringIO(as_csv("2026-11-24", [odd, GRACE])))
    assert header[:5] == ["day", "user", "calls", "tokens", "dollars"]
    assert rows[0][:5] == ["2026-11-24", '\'=a,"b"', "3", "1500", "0.002000"]
    assert rows[1][-1] == "yes"
    assert {len(row) for row in rows} == {len(header)}


def test_no_id_commands_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a�[2Jb�"
