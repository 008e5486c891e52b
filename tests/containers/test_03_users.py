"""The operator's commands about users, in the container that serves, with its own Redis."""

import csv
import time
import uuid
from pathlib import Path

import pytest
import requests

from tests.containers.conftest import Stack
from tests.integration.conftest import User

pytestmark = pytest.mark.usefixtures("started")


def test_an_operator_sees_stops_and_helps_a_user(stack: Stack, tmp_path: Path) -> None:
    """Each command of the section "Users", in its order."""
    user_id = str(uuid.uuid4())
    user = User(user_id, stack.url("sksndev"), stack.supabase["sksndev"].token_for(user_id))
    for _ in range(3):
        assert user.post("/gpt-4o", {"messages": "x"}).status_code == 200
    named = ("TENANT=sksndev", f"ID={user_id}")
    assert user_id in stack.run("make", "users", "TENANT=sksndev", "TOP=1000")
    file = tmp_path / "users.csv"
    assert f"users are in {file}" in stack.run("make", "users", "TENANT=sksndev", f"CSV={file}")
    assert {row["user"]: row["calls"] for row in csv.DictReader(file.read_text().splitlines())}[user_id] == "3"
    assert "calls        3 of" in stack.run("make", "user", *named)
    with stack.slow_streams(1):  # it would take longer than the command
        stream = user.stream()
        stack.run("make", "block", *named, "BY=grace")
        began = time.monotonic()
        assert stream.content.splitlines()[-1] == b'{"error": "Error while streaming"}'
        assert time.monotonic() - began < 1
    refused = user.post("/gpt-4o", {"messages": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "blocked")
    stack.run("make", "unblock", *named)
    limit = limit_of(user)
    assert "calls" in stack.run("make", "reset", *named)
    assert user.get("/v1/usage").json()["used"] == 0
    stack.run("make", "grant", *named, "CALLS=20")
    assert limit_of(user) == limit + 20
    lines = [line for line in stack.run("make", "audit", "TENANT=sksndev").splitlines() if user_id in line]
    assert [line.split()[2] for line in lines] == ["block", "unblock", "reset", "grant"]
    assert lines[0].split()[1] == "grace"


def limit_of(user: User) -> int:
    response: requests.Response = user.get("/v1/usage")
    return int(response.json()["limit"])
