"""Docstrings, comments and names are in plain English: some words of the old style are refused."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# archaic words, and verbs that make persons of processes
REFUSED = re.compile(
    r"\b(?:whoever|nobody|lest|whom|thereby|in vain|less what|in the midst|all the same|without a word|books"
    r"|hears?|heard|unheard|told|tells of|vouch(?:es)?|h[au]ngs? up|holds? up|what is)\b",
    re.IGNORECASE,
)
CONTINUES = re.compile(r"(?:And|Or|Nor|But|Though|So that|Also|Even if)\b")  # a docstring does not continue its name


def tracked() -> list[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "*.py"]  # the checkout may have another owner
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def may_refuse(source: str) -> bool:
    """Return whether parsing a file is worth the time: most files have none of the words."""
    return bool(REFUSED.search(source.replace("_", " ")) or re.search(f'"""{CONTINUES.pattern}', source))


def texts(source: str) -> Iterator[tuple[str, str]]:
    """Yield docstrings, names and comments, each with its kind."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield "docstring", ast.get_docstring(node) or ""
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield "name", node.name.replace("_", " ")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield "comment", token.string


def test_files_are_in_plain_english() -> None:
    """No docstring, comment or name uses a refused word, and every docstring is a sentence of its own."""
    found = [
        (str(path.relative_to(ROOT)), text)
        for path in tracked()
        if may_refuse(source := path.read_text())
        for kind, text in texts(source)
        if REFUSED.search(text) or (kind == "docstring" and CONTINUES.match(text))
    ]

    assert found == []


@pytest.mark.parametrize(
    "sentence", ["Nobody waits to hear of it.", "Whoever asks is told so.", "It holds up the others."]
)
def test_the_old_style_is_refused(sentence: str) -> None:
    """The pattern matches."""
    assert REFUSED.search(sentence)
