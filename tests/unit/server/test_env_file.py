"""The env file sets what the environment does not, and is read again on a reload."""

from pathlib import Path

from broker.server.env_file import EnvFile, load


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
