"""Inputs on which a broker once failed: streams, whole responses, settings, prompts that are long in odd places."""

import json
from pathlib import Path
from typing import Any

FAULTS = Path(__file__).parent / "samples" / "faults"
STREAMS = sorted((FAULTS / "sse").glob("*.txt"))
RESPONSES = sorted((FAULTS / "http").glob("*.bin"))
SETTINGS = [line.split("\t") for line in (FAULTS / "settings.tsv").read_text(encoding="utf-8").splitlines()]


def wrong_settings() -> list[tuple[str, str, str]]:
    """A name, a variable and its value, each. The secret parts of all values contain "planted"."""
    named = [(name, *setting.partition("=")[::2]) for name, setting in SETTINGS]
    return [(name, variable, _plant(value)) for name, variable, value in named]


def _plant(value: str) -> str:
    """Replace the secret words; write a newline for the two characters that stand for it in the file."""
    for word, replacement in (("pass", "planted1"), ("word", "planted2"), ("test", "planted3"), ("\\n", "\n")):
        value = value.replace(word, replacement)
    return value


def long_prompts(big: str) -> list[tuple[str, str, dict[str, Any]]]:
    """A name, a path and a body, each with `big` in one place."""
    text = (FAULTS / "prompt_size.json").read_text(encoding="utf-8")
    return [(one["name"], one["path"], one["body"]) for one in json.loads(text.replace("{BIG}", big))]
