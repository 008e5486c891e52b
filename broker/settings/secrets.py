"""Keys and secrets: their parsers, and the files that may hold them. No message repeats a part of a secret."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from dotenv.parser import parse_stream

from broker.settings.parsers import Secret


class EnvFileInvalid(Exception):
    """An env file has lines that set nothing. The message names their numbers and contains no secret."""


SEVERAL = "OPENAI_API_KEY"  # may hold several keys: separated by commas, or one per line of its file


def key(text: str) -> Secret:
    """A key that is sent in a header field: visible ASCII characters without quotes."""
    if not all("!" <= character <= "~" for character in text) or set(text) & set("\"'`"):
        raise ValueError("must not contain blanks, line breaks, quotes or invisible characters: paste the key anew")
    return Secret(text)


def key_list(text: str) -> tuple[Secret, ...]:
    """One or several different keys, separated by commas."""
    keys = tuple(key(part.strip()) for part in text.split(",") if part.strip())
    if not keys:
        raise ValueError("must hold at least one key")
    if len(set(keys)) < len(keys):
        raise ValueError("must not hold the same key twice")
    return keys


def secret(text: str) -> Secret:
    """A secret of printable characters, which is not in quotes."""
    if not text.isprintable() or text[0] in "\"'“‘":
        raise ValueError("must not contain line breaks or invisible characters, or stand in quotes: paste it anew")
    return Secret(text)


def header_fields(text: str) -> Mapping[str, Secret]:
    """Header fields for a collector: `name=value,name=value`, values percent-encoded (OTEL_EXPORTER_OTLP_HEADERS).

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    fields = {name.strip(): Secret(unquote(value.strip())) for name, _, value in pairs}
    if not all(re.fullmatch(r"[A-Za-z0-9-]+", name) and value.isprintable() for name, value in fields.items()):
        raise ValueError("must be name=value pairs separated by commas, values percent-encoded")
    return MappingProxyType(fields)


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of an env file, values literal; {} if there is no such file. Raises `EnvFileInvalid`."""
    if not path.exists() or path.is_dir():
        return {}
    try:
        with path.open(encoding="utf-8-sig") as lines:
            found = list(parse_stream(lines))
    except UnicodeDecodeError:
        raise EnvFileInvalid("The settings cannot be used:\n  - the env file must be UTF-8 text") from None
    wrong = [one.original for one in found if one.error or (one.key and one.value is None)]
    if wrong:
        blank = [one.string[: len(one.string) - len(one.string.lstrip())].count("\n") for one in wrong]  # before it
        numbers = [one.line + lines for one, lines in zip(wrong, blank, strict=True)]
        problems = [f"line {number} of the env file must be NAME=value" for number in numbers]
        raise EnvFileInvalid("The settings cannot be used:\n" + "\n".join(f"  - {one}" for one in problems))
    return {one.key: one.value for one in found if one.key and one.value is not None}


def read_file(environ: Mapping[str, str], variable: str) -> str:
    """The text of `variable`, from the environment or from the file that `<variable>_FILE` names; "" if neither is set.

    Raises `ValueError` if both are set, or if the file cannot be read.
    """
    text, path = environ.get(variable, "").strip(), environ.get(f"{variable}_FILE", "").strip()
    if not path:
        return text
    if text:
        raise ValueError(f"must not be set together with {variable}_FILE")
    try:
        content = Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"must be UTF-8 text in the file that {variable}_FILE names") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ValueError(f"must be readable in the file that {variable}_FILE names ({reason})") from None
    return ",".join(content.splitlines()) if variable == SEVERAL else content
