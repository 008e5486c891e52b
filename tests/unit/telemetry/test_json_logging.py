"""The log: one JSON object per line, without exception messages."""

import json
import logging
import sys
from typing import Any

import pytest

from broker.telemetry.json_logging import JsonFormatter


def line(message: str, *, name: str = "broker.request", exc_info: Any = None, **extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord(
        {
            "name": name,
            "levelname": "INFO",
            "msg": message,
            "exc_info": exc_info,
            "created": 1_800_000_000.1234,
            **extra,
        }
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)  # type: ignore[no-any-return]


def test_a_record_is_its_message_and_its_extras() -> None:
    """The time is in UTC."""
    assert line("request", status=200, user="ada\n") == {
        "time": "2027-01-15T08:00:00.123+00:00", "level": "info", "logger": "broker.request", "event": "request",
        "status": 200, "user": "ada\n",
    }  # fmt: skip


def test_an_exception_shows_its_kind_and_place_only() -> None:
    """Its message may repeat a prompt or a key."""
    try:
        raise ValueError("sk-planted in 'the secret prompt'")
    except ValueError:
        written = line("a request failed", exc_info=sys.exc_info())
    assert written["exception"] == "ValueError"
    assert "test_json_logging.py" in written["frames"][0]
    assert "planted" not in json.dumps(written)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Invalid request from ip=1.2.3.4: 'GET /?prompt=planted'", "Invalid request"),
        ("Error handling request /gpt-4o?prompt=planted", "Error handling request /gpt-4o"),
        ("Booting worker with pid: 7", "Booting worker with pid: 7"),
    ],
)  # fmt: skip
def test_gunicorns_own_lines_repeat_no_query(said: str, kept: str) -> None:
    """A query may hold a prompt."""
    assert line(said, name="gunicorn.error")["event"] == kept
