"""Settings: read once, validated together, never printed."""

import dataclasses
import re
from pathlib import Path

import jwt
import pytest

from broker.settings.parsers import Secret
from broker.settings.settings import Settings, SettingsInvalid
from tests.authority import authority
from tests.faults import wrong_settings

REQUIRED = {
    "OPENAI_API_KEY": "sk-planted-key",
    "SUPABASE_URL": "https://abc.supabase.co/",
    "SUPABASE_SERVICE_KEY": "sb_secret_planted",
}
SECRET = "a-secret-of-the-project-with-more-than-32-characters"
EXAMPLE = Path(__file__).parents[3] / "config" / "example.env"


def problem(**changes: str) -> str:
    with pytest.raises(SettingsInvalid) as raised:
        Settings.from_environ(REQUIRED | changes)
    return str(raised.value)


def legacy_key(role: str, secret: str = SECRET) -> str:
    return jwt.encode({"iss": "supabase", "ref": "abc", "role": role}, secret, "HS256")


def test_three_settings_are_enough_for_a_local_run() -> None:
    """All others have the contract's defaults."""
    settings = Settings.from_environ(REQUIRED)
    assert settings.daily_limit == 50
    assert settings.id_white_list == frozenset()
    assert settings.supabase_url == "https://abc.supabase.co"
    assert settings.supabase_jwt_issuer == "https://abc.supabase.co/auth/v1"
    assert settings.openai_base_url == "https://api.openai.com/v1"
    assert settings.models == {"gpt-4o": {"model": "gpt-4o"}, "gpt-4o-mini": {"model": "gpt-4o-mini"}}
    assert settings.cors_origins == ("*",)
    assert settings.port == 8011
    assert settings.redis_url is None


def test_empty_counts_as_unset() -> None:
    """Container env files cannot omit a variable in any other way."""
    assert Settings.from_environ(REQUIRED | {"DAILY_LIMIT": "", "REDIS_URL": " "}).daily_limit == 50


def test_all_problems_come_in_one_message() -> None:
    """An operator fixes them at once."""
    message = problem(OPENAI_API_KEY="", SUPABASE_URL="abc", DAILY_LIMIT="many", ID_WHITE_LIST="{}", PORT="0")
    for name in ("OPENAI_API_KEY is required", "SUPABASE_URL", "DAILY_LIMIT", "ID_WHITE_LIST", "PORT"):
        assert name in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "ftp://x"),
        ("SUPABASE_URL", "https://"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("DAILY_LIMIT", "-1"),
        ("DAILY_LIMIT", "1.5"),
        ("ID_WHITE_LIST", "ada"),
        ("ID_WHITE_LIST", "[1]"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis+sentinel://localhost:26379"),
        ("REDIS_REQUIRED", "perhaps"),
        ("MODELS", "gpt-4o"),
        ("MODELS", "{}"),
        ("MODELS", '{"gpt-4o": "gpt-4o"}'),
        ("MODELS", '{"gpt-4o": 1, "gpt-4o-mini": "x"}'),
        ("MODELS", '{"gpt-4o": {"model": null}, "gpt-4o-mini": "x"}'),
        ("OPENAI_CONNECT_TIMEOUT", "0"),
        ("OPENAI_CALL_TIMEOUT", "inf"),
        ("OPENAI_SILENCE_TIMEOUT", "long"),
        ("WEB_CONCURRENCY", "0"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """The message names the variable and the expected value."""
    assert re.search(rf"- {name} must ", problem(**{name: value}))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:@redis-stack:6379",
        "rediss://user:pw@host:6380/1",
        "unix:///run/redis.sock",
        "redis+sentinel://a:1,b:2/mymaster",
        "rediss+cluster://a:1,b:2",
    ],
)
def test_every_kind_of_redis_url_is_accepted(url: str) -> None:
    """Plain, TLS, socket, Sentinel and Cluster are the kinds."""
    assert Settings.from_environ(REQUIRED | {"REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
def test_a_file_for_tls_that_redis_url_names_is_read_at_the_start(option: str, tmp_path: Path) -> None:
    """Otherwise every connection fails later, or OpenSSL asks the terminal for the key's password."""
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nplanted\n-----END CERTIFICATE-----\n")
    for path in (tmp_path / "missing.pem", broken):
        message = problem(REDIS_URL=f"rediss://:planted@host?{option}={path}")
        assert "- REDIS_URL must name readable files in PEM form" in message
        assert "planted" not in message
    found = f"rediss://host?ssl_ca_certs={authority().file}&ssl_certfile={authority().server_file}"
    assert Settings.from_environ(REQUIRED | {"REDIS_URL": found}).redis_url == found


def test_a_container_needs_a_redis() -> None:
    """Its image sets REDIS_REQUIRED: an embedded store would lose the counts."""
    assert "REDIS_URL is required" in problem(REDIS_REQUIRED="on")


def test_models_may_be_a_name_or_a_patch() -> None:
    """A patch that names no model keeps the client's name."""
    models = Settings.from_environ(
        REQUIRED | {"MODELS": '{"gpt-4o": {"temperature": null}, "gpt-4o-mini": "gpt-6-luna", "x": "y"}'}
    ).models
    assert models == {
        "gpt-4o": {"model": "gpt-4o", "temperature": None},
        "gpt-4o-mini": {"model": "gpt-6-luna"},
        "x": {"model": "y"},
    }


def test_a_secret_that_did_not_sign_the_service_key_is_an_error() -> None:
    """They belong to different projects: every user would be refused."""
    key = legacy_key("service_role")
    good = Settings.from_environ(REQUIRED | {"SUPABASE_SERVICE_KEY": key, "SUPABASE_JWT_SECRET": SECRET})
    assert good.supabase_jwt_secret == SECRET
    assert "SUPABASE_JWT_SECRET did not sign" in problem(SUPABASE_SERVICE_KEY=key, SUPABASE_JWT_SECRET="x" * 40)


@pytest.mark.parametrize("key", [legacy_key("anon"), "sb_publishable_abc"])
def test_a_public_key_is_no_service_key(key: str) -> None:
    """The two are easily confused on Supabase's dashboard."""
    assert "SUPABASE_SERVICE_KEY is a public key" in problem(SUPABASE_SERVICE_KEY=key)


@pytest.mark.parametrize("key", [legacy_key("service_role"), "sb_secret_planted"])
def test_a_secret_key_is_no_public_key(key: str) -> None:
    """The page would show it to every visitor."""
    assert "SUPABASE_ANON_KEY is no public key" in problem(SUPABASE_ANON_KEY=key)
    assert key not in problem(SUPABASE_ANON_KEY=key)


@pytest.mark.parametrize("key", [legacy_key("anon"), "sb_publishable_abc"])
def test_a_public_key_may_be_shown(key: str) -> None:
    """There are two kinds of it."""
    assert Settings.from_environ(REQUIRED | {"SUPABASE_ANON_KEY": key}).supabase_anon_key == key


def test_no_secret_is_ever_shown() -> None:
    """Neither a repr nor the message with the problems contains one."""
    secrets = {"SUPABASE_JWT_SECRET": SECRET, "REDIS_URL": "redis://:planted-password@h:1"}
    assert "planted" not in repr(Settings.from_environ(REQUIRED | secrets))
    assert SECRET not in repr(Settings.from_environ(REQUIRED | secrets))
    assert "planted" not in problem(**secrets, DAILY_LIMIT="x")
    assert "planted" not in repr(Secret("planted"))


def test_settings_are_frozen() -> None:
    """Settings cannot change after they are read."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_environ(REQUIRED).daily_limit = 1  # type: ignore[misc]


def test_example_env_explains_every_setting() -> None:
    """One line per variable, with its default and an explanation above it."""
    lines = EXAMPLE.read_text().splitlines()
    given = [line.removeprefix("# ").partition("=") for line in lines if re.match(r"(# )?[A-Z_]+=", line)]
    variables = [field.metadata["variable"] for field in dataclasses.fields(Settings)]
    assert set(variables) == {name for name, _, _ in given}
    for number, line in enumerate(lines):
        if re.match(r"(# )?[A-Z_]+=", line):
            assert lines[number - 1].startswith("# ")
    optional = {name: value for name, _, value in given if value and name not in ("REDIS_URL", "WEB_CONCURRENCY")}
    shown, default = Settings.from_environ(REQUIRED | optional), Settings.from_environ(REQUIRED)
    assert shown == default


def test_the_ready_made_line_for_the_models_last_day_works() -> None:
    """The line in example.env for 14 January 2027 is valid as written."""
    line = next(line for line in EXAMPLE.read_text().splitlines() if "gpt-6-luna" in line and "MODELS=" in line)
    models = Settings.from_environ(REQUIRED | {"MODELS": line.partition("=")[2]}).models
    assert {patch["model"] for patch in models.values()} == {"gpt-6-luna"}
    assert all(patch["reasoning_effort"] == "none" for patch in models.values())


WRONG = [one for one in wrong_settings() if one[0] != "blanks"]


@pytest.mark.parametrize(("variable", "value"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG])
def test_each_input_that_once_failed_is_refused_by_name(variable: str, value: str) -> None:
    """One problem, which names the variable and repeats no secret."""
    title, line, *more = problem(**{variable: value}).splitlines()
    assert (title, more) == ("The settings cannot be used:", [])
    assert line.startswith(f"  - {variable} ")
    assert "planted" not in line


def test_blanks_around_an_id_are_not_part_of_it() -> None:
    """Such an id would block no user."""
    ((_, variable, value),) = [one for one in wrong_settings() if one[0] == "blanks"]
    settings = Settings.from_environ(REQUIRED | {variable: value})
    assert settings.blocked_ids == {"7f1c1f1e-0000-4000-8000-000000000001"}
