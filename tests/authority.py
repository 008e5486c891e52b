"""The certificate authority of a test run."""

import functools
import tempfile
from pathlib import Path

from deploy.local.authority import Authority

_FOLDER = tempfile.TemporaryDirectory(prefix="gpt-broker-authority-")


@functools.cache
def authority() -> Authority:
    """One authority for all tests of this process."""
    return Authority(Path(_FOLDER.name))
