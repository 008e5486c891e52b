"""Secrets: the watch finds them, no repr contains one, and comparisons take constant time."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.auth import tokens
from broker.openai import replies
from broker.openai.requests import chat_completions, prompts
from broker.web.services import EXTENSION
from deploy.local.signing import KeyRing
from tests.apps import REQUIRED, SECRET, bearer, make_app
from tests.secrecy import Secrecy

BROKER = Path(__file__).parents[2] / "broker"
SECRET_NAMES = {"secret", "password", "signature", "digest", "mac", "api_key", "service_key", "key_text", "token"}


@pytest.mark.parametrize("output", [
    'no "sk-planted-key-0123456789" here', "x?prompt=what+the+user+asked+for", "Bearer eyJhbGciOiJIUzI1NiJ9",
    "and {signature}!",
])  # fmt: skip
def test_an_exposed_secret_is_found(output: str) -> None:
    """A key, the beginning of a prompt, a token, or a signature alone is found."""
    secrecy, token = Secrecy(), KeyRing("ES256").sign({"sub": "x"})
    for secret in (REQUIRED["OPENAI_API_KEY"], "what+the+user+asked+for, and more that was cut off in the log"):
        secrecy.add_secret(secret)
    secrecy.add_secret("what+the+user+asked+for")
    secrecy.add_token(token)
    secrecy.record("log", "a harmless line")
    assert secrecy.leaks() == []
    secrecy.record("log", output.replace("{signature}", token.split(".")[2]))
    assert [leak[:4] for leak in secrecy.leaks()] == ["log:"]


def test_no_object_shows_a_secret() -> None:
    """No object of a running broker has a key or a token in its repr, so none is in a traceback."""
    app = make_app(SUPABASE_JWT_SECRET=SECRET, REDIS_URL="redis://:planted-password@127.0.0.1:1/0")
    headers = bearer()
    app.test_client().post("/gpt-4o", data=b"{}", headers=headers)
    shown = [repr(one) for one in _ours(app.extensions[EXTENSION])]
    assert len(shown) > 10
    secrets = [
        REQUIRED["OPENAI_API_KEY"],
        REQUIRED["SUPABASE_SERVICE_KEY"],
        SECRET,
        "planted-password",
        headers["Authorization"][7:],
    ]
    for text in shown:
        assert [secret for secret in secrets if secret in text] == []


def test_no_object_shows_prompts_and_answers() -> None:
    """Neither messages, answers nor unverified claims are in a repr."""
    token = KeyRing("ES256").sign({"sub": "planted"})
    body = b'{"model": "gpt-4o", "messages": "planted"}'
    chat = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "planted"}]}'
    answer = b'{"choices": [{"message": {"content": "planted"}}], "usage": {}}'
    held = [tokens.read_token(token), prompts.read_stream(body),
            chat_completions.read(chat, {"gpt-4o": {"model": "gpt-4o"}}, 10),
            replies.read_answer(200, answer)]  # fmt: skip
    for one in held:
        assert "planted" not in repr(one)
        assert token.split(".")[2] not in repr(one)


def _ours(root: object) -> Iterator[object]:
    """Yield every reachable object of the broker's own classes."""
    seen, left = set(), [root]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        module = type(one).__module__
        if module.startswith("broker"):
            yield one
        if module.startswith("broker") or isinstance(one, dict | list | tuple | set | frozenset):
            left += gc.get_referents(one)


@pytest.mark.parametrize("path", sorted(BROKER.rglob("*.py")), ids=lambda path: path.name)
def test_secrets_are_compared_in_constant_time(path: Path) -> None:
    """The time of `==` reveals the first difference; secrets are compared by `compare_digest`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
            names = {_name(operand) for operand in (node.left, *node.comparators)}
            assert not names & SECRET_NAMES, f"line {node.lineno}"


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    return node.id.strip("_") if isinstance(node, ast.Name) else ""
