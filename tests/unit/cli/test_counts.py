"""The commands that carry a tenant's counts to another Redis."""

import json
import os
from pathlib import Path

import fakeredis
import pytest
from click.testing import CliRunner, Result

from broker.cli import project
from broker.cli.commands import cli
from tests.apps import REQUIRED

KEY = "gpt-broker:{%s:ada}:blocked" % REQUIRED["SUPABASE_URL"].partition("://")[2]  # noqa: UP031 - braces


def run(redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch, *words: str, text: str = "") -> Result:
    monkeypatch.setattr(project, "redis_client", lambda _: redis)
    environ = {**REQUIRED, "ENV_FILE": os.devnull, "REDIS_URL": "redis://127.0.0.1:1"}
    return CliRunner().invoke(cli, words, env=environ, input=text)


def test_an_export_can_be_imported_from_standard_input_or_a_file(
    redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each with the number of keys."""
    redis.set(KEY, "1")
    copy = run(redis, monkeypatch, "export").output
    (tmp_path / "counts").write_text(copy)
    redis.delete(KEY)

    assert json.loads(copy.splitlines()[-1]) == {"keys": 1}
    assert run(redis, monkeypatch, "import", text=copy).output == "1 keys are written\n"
    assert redis.get(KEY) == b"1"
    assert run(redis, monkeypatch, "import", str(tmp_path / "counts")).exit_code == 0


def test_a_cut_file_is_refused(redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, with status 1."""
    copy = run(redis, monkeypatch, "export").output
    done = run(redis, monkeypatch, "import", text=copy.splitlines()[0])

    assert (done.exit_code, done.output) == (1, "Error: this is not a whole copy; nothing was changed\n")
