"""The result of one check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The subject of a check, and advice unless it is fine.

    `is_checked` is false if the check could not run. `is_remark`: nothing is broken now, so it is no error.
    """

    subject: str
    todo: str = ""
    is_checked: bool = True
    is_remark: bool = False

    @property
    def verdict(self) -> str:
        """The verdict in a word: fine, WRONG, remark or not checked."""
        if not self.is_checked:
            return "not checked"
        if not self.todo:
            return "fine"
        return "remark" if self.is_remark else "WRONG"
