"""Mistakes of operators: each is reported in one message that names the variable and shows no secret."""

from pathlib import Path

import pytest

from broker.settings.settings import Settings, SettingsInvalid
from tests.unit.settings.test_settings import REQUIRED, problem

UUID = "7f1c1f1e-0000-4000-8000-000000000001"
ZERO_WIDTH = "\u200b"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENAI_BASE_URL", "http://127.0.0.1:abc/v1"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:0/v1"),
        ("OPENAI_BASE_URL", "https://user:planted@127.0.0.1/v1"),
        ("OPENAI_BASE_URL", "https://[planted/v1"),
        ("OPENAI_BASE_URL", "https://a b/v1"),
        ("OPENAI_BASE_URL", f"https://a{ZERO_WIDTH}/v1"),
        ("OPENAI_BASE_URL", "https://bücher.example/v1"),
        ("SUPABASE_URL", "https://満ちる.example"),
        ("HTTPS_PROXY", "http://proxy:abc"),
        ("HTTPS_PROXY", "http://proxy:99999"),
        ("HTTPS_PROXY", "proxy:abc"),
        ("HTTPS_PROXY", "http://user:plan/ted@proxy:3128"),
        ("HTTPS_PROXY", "http://user:1/planted@proxy:3128"),
        ("HTTPS_PROXY", "http://user:1?planted@proxy:3128"),
        ("HTTPS_PROXY", "http://user:1#planted@proxy:3128"),
        ("HTTPS_PROXY", "http://user:planted@pro xy:3128"),
        ("HTTPS_PROXY", "http://user:planted@proxy\n:3128"),
        ("HTTPS_PROXY", "http://[planted"),
        ("OPENAI_API_KEY", "sk-planted\n0123"),
        ("OPENAI_API_KEY", "“sk-planted0123”"),
        ("OPENAI_API_KEY", '"sk-planted0123"'),
        ("OPENAI_API_KEY", f"sk-planted0123{ZERO_WIDTH}"),
        ("OPENAI_API_KEY", "sk-planted 0123"),
        ("OPENAI_API_KEY", "sk-plantéd"),
        ("OPENAI_API_KEY", ","),
        ("OPENAI_API_KEY", "sk-planted,sk-planted"),
        ("SUPABASE_SERVICE_KEY", "sb_secret_planted\nx"),
        ("SUPABASE_ANON_KEY", "sb_publishable_planted x"),
        ("SUPABASE_JWT_SECRET", "planted\nsecret"),
        ("SUPABASE_JWT_SECRET", f"planted{ZERO_WIDTH}"),
        ("SUPABASE_JWT_SECRET", '"planted"'),
        ("SUPABASE_URL", "https://supabase.com/dashboard/project/abcdefghijklmnopqrst"),
        ("SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co/auth/v1"),
        ("PORT", "99999"),
        ("PORT", "８０１１"),
        ("WEB_CONCURRENCY", "999"),
        ("GRACEFUL_TIMEOUT", "1000"),
        ("CLIENT_TIMEOUT", "1e9"),
        ("DAILY_LIMIT", "1" * 5000),
        ("MODELS", '{"gpt-4o": {"model": "x", "temperature": NaN}, "gpt-4o-mini": "x"}'),
        ("MODELS", '{"gpt-4o": "\\ud800", "gpt-4o-mini": "x"}'),
        ("MODELS", "[" * 100_000),
        ("BLOCKED_IDS", '["ada@example.com"]'),
        ("BLOCKED_IDS", f'"{UUID}"'),
        ("ID_WHITE_LIST", f'["{{{UUID}}}"]'),
        ("CORS_ORIGINS", "app.example.com"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/page"),
        ("CORS_ORIGINS", ","),
        ("REDIS_URL", "redis://[planted"),
        ("HTTPS_PROXY", "http://user:planted/s@proxy:3128"),
        ("HTTPS_PROXY", "http://user:12#planted@proxy:3128"),
        ("HTTPS_PROXY", "http://user:12?planted@proxy:3128"),
    ],
)
def test_a_mistake_is_reported(variable: str, value: str) -> None:
    """The message names the variable and the expected value, without the actual one."""
    message = problem(**{variable: value})
    assert f"  - {variable} must " in message
    assert message.count("\n") == 1
    assert "planted" not in message


@pytest.mark.parametrize("spelling", [f" {UUID} ", UUID.upper(), f"\t{UUID}\n".encode("unicode_escape").decode()])
def test_ids_are_normalised(spelling: str) -> None:
    """The spelling is that of Supabase's tokens, or the id would match no user."""
    settings = Settings.from_environ(REQUIRED | {"BLOCKED_IDS": f'["{spelling}"]', "ID_WHITE_LIST": f'["{spelling}"]'})
    assert settings.blocked_ids == settings.id_white_list == {UUID}


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://App.Example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origins_are_normalised(given: str, origin: str) -> None:
    """The spelling is that of browsers."""
    assert Settings.from_environ(REQUIRED | {"CORS_ORIGINS": given}).cors_origins == (origin,)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DAILY_LIMT", "DAILY_LIMIT"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("OPENAI_API_KEYS", "OPENAI_API_KEY"),
        ("SUPBASE_URL", "SUPABASE_URL"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("BLOCKED_ID", "BLOCKED_IDS"),
        ("REDIS_URL_FIL", "REDIS_URL_FILE"),
    ],
)
def test_a_misspelt_name_is_reported(name: str, meant: str) -> None:
    """The message shows the name that it resembles, without its value."""
    message = problem(**{name: "planted"})
    assert f"  - {name} is not a setting: {meant} is meant?" in message
    assert "planted" not in message


def test_names_of_other_programs_are_ignored() -> None:
    """The broker's own tools and libraries read some of them."""
    others = (
        "PATH HOME HOSTNAME PORTS BASE_URL ENV_FILE SSL_CERT_DIR PYTHONUNBUFFERED REDIS_PORT "
        "REDIS_PORT_6379_TCP REDIS_SERVICE_PORT PROMETHEUS_MULTIPROC_DIR OTEL_EXPORTER_OTLP_PROTOCOL OPENAI_ORG_ID "
        "SUPABASE_KEY SUPABASE_ACCESS_TOKEN GUNICORN_CMD_ARGS KUBERNETES_SERVICE_HOST MODEL https_proxy "
        "HTTP_PROXY http_proxy ALL_PROXY OTEL_EXPORTER_OTLP_LOGS_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_HEADERS"
    )
    assert Settings.from_environ(REQUIRED | dict.fromkeys(others.split(), "x")).daily_limit == 50


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    """`<name>_FILE` names a file for each secret; surrounding white space is removed."""
    written = {
        "OPENAI_API_KEY": "sk-one\nsk-two\n",
        "SUPABASE_SERVICE_KEY": "sb_secret_filed\n",
        "SUPABASE_JWT_SECRET": " filed secret\r\n",
        "REDIS_URL": "redis://:filed@localhost:6379\n",
    }
    environ = {"SUPABASE_URL": REQUIRED["SUPABASE_URL"]}
    for name, text in written.items():
        (tmp_path / name).write_text(text)
        environ[f"{name}_FILE"] = str(tmp_path / name)
    settings = Settings.from_environ(environ)
    assert settings.openai_api_keys == ("sk-one", "sk-two")
    assert settings.supabase_service_key == "sb_secret_filed"
    assert settings.supabase_jwt_secret == "filed secret"
    assert settings.redis_url == "redis://:filed@localhost:6379"


def test_mistakes_with_files_are_reported(tmp_path: Path) -> None:
    """A missing file, a binary file, and a file beside the variable are mistakes. An empty one is a missing key."""
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"planted\xff")
    without = {name: value for name, value in REQUIRED.items() if name != "OPENAI_API_KEY"}

    def message(**changes: str) -> str:
        with pytest.raises(SettingsInvalid) as raised:
            Settings.from_environ(without | changes)
        return str(raised.value)

    missing = message(OPENAI_API_KEY_FILE=str(tmp_path / "missing"))
    assert "OPENAI_API_KEY must be readable in the file that OPENAI_API_KEY_FILE names (No such file" in missing
    assert "OPENAI_API_KEY must be UTF-8" in message(OPENAI_API_KEY_FILE=str(binary))
    assert "planted" not in message(OPENAI_API_KEY_FILE=str(binary))
    assert "OPENAI_API_KEY is required" in message(OPENAI_API_KEY_FILE=str(empty))
    assert "must not be set together" in message(OPENAI_API_KEY="sk-planted", OPENAI_API_KEY_FILE=str(empty))


def test_several_openai_keys_are_accepted() -> None:
    """Commas separate them."""
    assert Settings.from_environ(REQUIRED | {"OPENAI_API_KEY": "sk-a, sk-b,"}).openai_api_keys == ("sk-a", "sk-b")
