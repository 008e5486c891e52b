"""The commands about users: what they print, and what they refuse. `tests/integration/test_users.py` has the rest."""

import os
from collections.abc import Callable

import fakeredis
import pytest
from click.testing import CliRunner, Result

from broker.cli import project
from broker.cli.commands import cli
from tests.apps import REQUIRED

ADA = "11111111-1111-4111-8111-111111111111"
Run = Callable[..., Result]


@pytest.fixture
def run(redis: fakeredis.FakeRedis, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command; further settings by name."""
    monkeypatch.setattr(project, "redis_client", lambda _: redis)

    def command(*words: str, **more: str) -> Result:
        environ = {**REQUIRED, "ENV_FILE": os.devnull, "REDIS_URL": "redis://127.0.0.1:1", **more}
        return CliRunner().invoke(cli, words, env=environ)

    return command


def test_one_user_s_day_has_limits_grants_and_state(run: Run) -> None:
    """Limits without a plan; a limit that is not set is none."""
    run("grant", ADA, "--calls", "5", "--tokens", "1000", "--by", "grace@office")
    output = run("user", ADA, DAILY_TOKENS="5000").output
    assert "calls        0 of 55 (50 and 5 granted), 55 left" in output
    assert "tokens       0 of 6,000 (5,000 and 1,000 granted), 6,000 left" in output
    assert "dollars      0.000000, no limit" in output
    assert "state        may call" in output
    assert "plan" not in output
    assert output.splitlines()[-1].endswith(
        f"grace@office  grant {ADA}: 5 calls, 1000 tokens, 0 dollars more on " + today(output)
    )
    assert (
        "the limits of that plan"
        in run("user", ADA, PLANS='{"plans": {"pro": {"calls": 9}}, "claim": "app_metadata.plan"}').output
    )


def today(output: str) -> str:
    return output.splitlines()[1].split()[1]


def test_the_lists_of_the_settings_are_shown(run: Run) -> None:
    """A user may be blocked by a setting, which no command changes."""
    assert "blocked (BLOCKED_IDS)" in run("user", ADA, BLOCKED_IDS=f'["{ADA}"]').output
    assert "on ID_WHITE_LIST" in run("user", ADA, ID_WHITE_LIST=f'["{ADA}"]').output
    result = run("unblock", ADA, BLOCKED_IDS=f'["{ADA}"]')
    assert result.exit_code == 1
    assert "BLOCKED_IDS still names this user" in result.output


def test_an_empty_log_and_an_empty_day_are_reported(run: Run) -> None:
    assert run("audit").output == "no changes yet\n"
    assert run("users", "--day", "2026-01-02").output == "2026-01-02 (UTC): 0 users\n"


@pytest.mark.parametrize("words", [("block", "ada"), ("user", "*"), ("grant", ADA, "--dollars", "many"), ("reset",)])
def test_a_wrong_word_is_refused_before_redis_is_asked(run: Run, words: tuple[str, ...]) -> None:
    """The exit status is 2."""
    assert run(*words).exit_code == 2
    assert run("audit").output == "no changes yet\n"


def test_without_a_redis_there_is_nothing_to_change(run: Run) -> None:
    """Each worker counts in its memory then."""
    result = run("block", ADA, REDIS_URL="")
    assert result.exit_code == 1
    assert "REDIS_URL is unset" in result.output


def test_an_operator_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container, whose user id has no name."""

    def fail() -> str:
        raise KeyError("planted")

    monkeypatch.setattr("broker.cli.project.getpass.getuser", fail)
    assert project.operator_name().startswith(f"{os.getuid()}@")
    assert project.log_name("  grace\n\x1b[2J ") == "grace��[2J"
