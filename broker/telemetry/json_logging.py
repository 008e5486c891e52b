"""The log: one JSON object per line, with the record's message and its `extra`.

Exceptions are logged by type and location, never by message, which may repeat a prompt, a token or a key.
"""

import datetime
import json
import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

_ENCODER = json.JSONEncoder(default=str)  # `dumps` would build an encoder per line
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break."""
        line: dict[str, object] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _event(record),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = _frames(record.exc_info[2])
        return _ENCODER.encode(line)


def _event(record: logging.LogRecord) -> str:
    """The message. Some of gunicorn's repeat parts of a request, which may hold a prompt."""
    text = record.getMessage()
    if record.name.startswith("gunicorn"):
        if text.startswith("Invalid request from"):
            return "Invalid request"
        return text.partition("?")[0]
    return text


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]


def log_unhandled() -> None:
    """Log unhandled exceptions of threads and finalizers, which Python would print as text."""
    threading.excepthook = lambda args: _log("thread", (args.exc_type, args.exc_value, args.exc_traceback))
    sys.unraisablehook = lambda args: _log("finalizer", (args.exc_type, args.exc_value, args.exc_traceback))


def log_greenlet(_: object, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log an unhandled exception of a greenlet or an event, such as accept at the limit of open files."""
    _log("greenlet", (kind, error, trace))


def _log(where: str, exception: Any) -> None:
    log.error("unhandled exception", exc_info=exception, extra={"where": where})
