"""UTC days, and the names of a user's keys in Redis. `scripts` documents their contents."""

import datetime
import functools
from dataclasses import dataclass
from urllib.parse import quote

GRACE = 3600  # seconds that a day's keys outlive the day: longer than any call


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC calendar day: its name (2026-11-24) and the Unix time at which the next one begins."""

    name: str
    ends_at: int

    @property
    def number(self) -> int:
        """Days since 1970-01-01."""
        return self.ends_at // 86400 - 1


def day_at(now: float) -> Day:
    """Return the day of a Unix time in seconds."""
    return _day(int(now // 86400))


@functools.lru_cache(maxsize=2)
def _day(number: int) -> Day:
    name = datetime.datetime.fromtimestamp(number * 86400, datetime.UTC).date().isoformat()
    return Day(name, (number + 1) * 86400)


def day_named(name: str) -> Day:
    """Return the day of a date (2026-11-24). Raises ValueError."""
    date = datetime.date.fromisoformat(name)
    return day_at((date - datetime.date(1970, 1, 1)).days * 86400)


@functools.lru_cache(maxsize=1024)  # a user calls more than once
def keys_of(project: str, caller_id: str, day: Day) -> tuple[str, str, str, str]:
    """Return the four keys of a user, in the scripts' order."""
    user = f"gpt-broker:{{{quote(project, safe='')}:{quote(caller_id, safe='')}}}"
    return f"{user}:calls:{day.name}", f"{user}:places", f"{user}:amounts:{day.name}", f"{user}:blocked"


def pattern_of(project: str, day: Day) -> str:
    """Return the pattern of the first key of every user on a day, for SCAN. A quoted project holds no wildcard."""
    return f"gpt-broker:{{{quote(project, safe='')}:*}}:calls:{day.name}"


def pattern_of_project(project: str) -> str:
    """Return the pattern of all keys of a project, for SCAN."""
    return f"gpt-broker:{{{quote(project, safe='')}:*"


def project_key(project: str, tag: str, name: str) -> str:
    """Return a key of the whole project. Keys with the same tag are in one slot of a cluster."""
    return f"gpt-broker:{{{quote(project, safe='')}:{tag}}}:{name}"
