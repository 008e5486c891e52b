"""What the doctor says of one part."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, and, unless all is well, what to do. `is_checked` is false where it was not."""

    what: str
    todo: str = ""
    is_checked: bool = True
