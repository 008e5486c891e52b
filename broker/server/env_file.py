"""The env file: sets what the environment does not, and can be read again without a restart."""

from collections.abc import MutableMapping
from pathlib import Path

from broker.settings.secrets import read_env_file


class EnvFile:
    """One env file and the variables that it has set."""

    def __init__(self, path: Path, environ: MutableMapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._set: dict[str, str] = {}

    def read(self) -> None:
        """Set the file's variables, and unset those that left it.

        The environment's own variables have precedence, except empty ones, which count as unset.
        Raises `EnvFileInvalid`.
        """
        values = read_env_file(self._path)
        for name in self._set:
            self._environ.pop(name, None)
        self._set = {name: value for name, value in values.items() if value and not self._environ.get(name)}
        self._environ.update(self._set)

    def snapshot(self) -> dict[str, str]:
        """The variables that the file has set, for `restore`."""
        return dict(self._set)

    def restore(self, snapshot: dict[str, str]) -> None:
        """Go back to these variables."""
        for name in self._set:
            self._environ.pop(name, None)
        self._set = dict(snapshot)
        self._environ.update(self._set)


_loaded: dict[Path, EnvFile] = {}  # gunicorn executes its configuration file again on a reload; this module stays


def load(path: Path, environ: MutableMapping[str, str]) -> EnvFile:
    """The env file at `path`, read at the first call."""
    if path not in _loaded:
        _loaded[path] = EnvFile(path, environ)
        _loaded[path].read()
    return _loaded[path]
