"""The env file sets what the environment does not, and is read again on a reload."""

from pathlib import Path

import pytest

from broker.server.env_file import EnvFile, load
from broker.settings.secrets import EnvFileInvalid


def test_the_file_fills_in_what_the_environment_does_not_set(tmp_path: Path) -> None:
    """An empty variable counts as unset; `$` is literal."""
    path, environ = tmp_path / ".env", {"PORT": "1", "MODELS": ""}
    path.write_text("PORT=2\nMODELS={}\nKEY='a$b${c}'\nEMPTY=\n")
    EnvFile(path, environ).read()
    assert environ == {"PORT": "1", "MODELS": "{}", "KEY": "a$b${c}"}


def test_a_second_reading_follows_the_file(tmp_path: Path) -> None:
    """Changed and removed variables are followed. `restore` goes back."""
    path, environ = tmp_path / ".env", {"PORT": "1"}
    path.write_text("A=1\nB=1\n")
    file = EnvFile(path, environ)
    file.read()
    before = file.snapshot()
    path.write_text("A=2\nC=2\n")
    file.read()
    assert environ == {"PORT": "1", "A": "2", "C": "2"}
    file.restore(before)
    assert environ == {"PORT": "1", "A": "1", "B": "1"}


def test_a_missing_file_sets_nothing(tmp_path: Path) -> None:
    """A container has no file."""
    environ: dict[str, str] = {}
    assert load(tmp_path / "none", environ) is load(tmp_path / "none", environ)
    assert environ == {}


@pytest.mark.parametrize("line", ["DAILY_LIMIT 100", "DAILY_LIMIT: 100", "OPENAI_API_KEY='sk-planted", "planted"])
def test_a_line_that_sets_nothing_is_reported_by_its_number(tmp_path: Path, line: str) -> None:
    """The setting would have its default otherwise. The message has no part of the line, which may be a secret."""
    path, environ = tmp_path / ".env", {"A": ""}
    path.write_text(f"# settings\nA=1\n\n{line}\nB=2\n")
    with pytest.raises(EnvFileInvalid) as raised:
        EnvFile(path, environ).read()
    assert str(raised.value) == "The settings cannot be used:\n  - line 4 of the env file must be NAME=value"
    assert environ == {"A": ""}


def test_the_file_is_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    """Editors of Windows write a byte order mark. Other encodings are reported without a traceback."""
    path, environ = tmp_path / ".env", dict[str, str]()
    path.write_bytes("\ufeffA=é\r\n".encode())
    EnvFile(path, environ).read()
    assert environ == {"A": "é"}
    path.write_bytes("# é\nA=1\n".encode("latin-1"))
    with pytest.raises(EnvFileInvalid, match="the env file must be UTF-8 text"):
        EnvFile(path, environ).read()
