"""`python -m deploy.kubernetes.settings_schema` writes the settings' names into the chart's values.schema.json."""

import json
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

from broker.settings.parsers import Secret
from broker.settings.settings import Settings

FILE = Path(__file__).parent / "values.schema.json"
SET_BY_THE_CHART = {"PORT", "WEB_CONCURRENCY", "REDIS_REQUIRED"}


def names() -> list[str]:
    """The settings that `values.yaml` may hold: no secrets, and none that the chart sets by itself."""
    types = typing.get_type_hints(Settings)
    plain = {
        str(field.metadata["variable"])
        for field in fields(Settings)
        if "variable" in field.metadata and Secret not in (types[field.name], *typing.get_args(types[field.name]))
    }
    return sorted(plain - SET_BY_THE_CHART)


def written() -> str:
    """The expected text of the schema file."""
    schema: dict[str, Any] = json.loads(FILE.read_text())
    schema["properties"]["settings"]["propertyNames"] = {"enum": names()}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(written())
