"""The result of one check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What was checked, and what to do unless it is fine. `is_checked` is false if the check could not run."""

    subject: str
    todo: str = ""
    is_checked: bool = True
