"""The operator's commands about users, through the real program: a broker with two workers, and its Redis."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker.cli.commands import cli
from deploy.local.broker_process import ROOT
from tests.integration.conftest import StartBroker, User, settings_for
from tests.integration.load import Load
from tests.integration.redis_drills import SentinelService, SixNodeCluster
from tests.integration.stack import Stack
from tests.integration.waiting import within

WORKERS = 2
PROBES = 6  # calls, so that each worker gets one; every connection may go to any worker


class Operator:
    """Runs the commands in an environment of settings."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._environ = environ

    def run(self, *words: str, status: int = 0) -> str:
        """Return what the command prints; `status` is the expected exit status."""
        done = CliRunner().invoke(cli, words, env={"ENV_FILE": os.devnull, **self._environ})
        assert done.exit_code == status, done.output
        return done.output

    def run_program(self, *words: str) -> str:
        """As `run`, as a process of its own."""
        environ = {"ENV_FILE": os.devnull, **self._environ}
        command = (sys.executable, "-m", "broker.cli", *words)
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    made = Stack(
        DAILY_LIMIT="4", DAILY_TOKENS="100000", OPENAI_CALL_TIMEOUT="30", OPENAI_SILENCE_TIMEOUT="20",
        WEB_CONCURRENCY=str(WORKERS), MAX_CALLS_PER_USER="50",
    )  # fmt: skip
    yield made
    made.stop()


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Operator:
    return Operator(settings_for(stack.openai, stack.supabase, stack.redis.url) | {"DAILY_LIMIT": "4"})


def ask(user: User, times: int = 1) -> list[int]:
    return [user.post("/gpt-4o", {"messages": "x"}).status_code for _ in range(times)]


def day_of(user: User) -> dict[str, Any]:
    return dict(user.get("/v1/usage").json())


def test_a_block_is_in_force_with_the_next_call_on_every_worker(stack: Stack, operator: Operator) -> None:
    """It gives a 403 with code `blocked`, like BLOCKED_IDS. `unblock` admits at once. The id may have capitals."""
    user = stack.user()
    assert ask(user) == [200]
    assert "is blocked" in operator.run_program("block", f" {user.id.upper()} ", "--by", "grace@office")
    answers = [user.post("/gpt-4o", {"messages": "x"}) for _ in range(PROBES)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "blocked")}
    assert user.get("/v1/usage").status_code == 403
    assert "blocked (make unblock" in operator.run("user", user.id)
    assert "as before" in operator.run("block", user.id)
    assert "may call again" in operator.run("unblock", user.id)
    assert ask(user, 2) == [200, 200]
    assert "was not blocked" in operator.run("unblock", user.id)
    assert "must be a user id" in operator.run("block", "ada", status=2)


def test_a_blocked_user_s_open_streams_end_within_a_second(stack: Stack, operator: Operator) -> None:
    """They end on both workers, also while OpenAI is silent; upstreams close, and the ledger balances."""
    blocked, other = stack.user(), stack.user()
    operator.run("grant", blocked.id, "--calls", "100")
    stack.openai.token_delay = 0.1
    streams = [blocked.stream() for _ in range(PROBES)]
    stack.openai.next("silent_mid_stream")
    events = blocked.post("/v1/chat/completions", V1, stream=True)
    others = other.stream()
    ended: list[float] = []
    operator.run("block", blocked.id)
    began = time.monotonic()
    contents = []
    for stream in (*streams, events):
        contents.append(stream.content)
        ended.append(time.monotonic() - began)
    assert max(ended) < 1.0
    assert {content.splitlines()[-1] for content in contents[:-1]} == {b'{"error": "Error while streaming"}'}
    error = json.loads(contents[-1].strip().splitlines()[-1].removeprefix(b"data: "))["error"]
    assert error["code"] == "blocked"
    assert b'"error"' not in others.content
    stack.openai.token_delay = 0.002
    outcomes = [line["outcome"] for line in stack.broker.log_lines() if line["user"] == blocked.id]
    assert outcomes.count("blocked") >= PROBES
    within(2, lambda: [one.end for one in stack.openai.completions()].count("peer left") > PROBES)
    stack.wait_until_balanced()


def test_a_blocked_user_s_call_that_waits_for_openai_is_refused_within_a_second(
    stack: Stack, operator: Operator
) -> None:
    """With the status and code that later calls get. It costs nothing."""
    user, asked = stack.user(), len(stack.openai.completions())
    stack.openai.next("silent", times=2)
    with ThreadPoolExecutor(2) as pool:
        plain = pool.submit(user.post, "/gpt-4o", {"messages": "x"})
        stream = pool.submit(user.stream)
        within(3, lambda: len(stack.openai.completions()) == asked + 2)
        operator.run("block", user.id)
        began = time.monotonic()
        answers = [plain.result(), stream.result()]
        assert time.monotonic() - began < 1.0
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "blocked")}
    operator.run("unblock", user.id)
    assert day_of(user)["used"] == 0
    stack.wait_until_balanced()


V1 = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "x"}]}


def test_a_worker_that_is_replaced_still_finds_blocks(stack: Stack, operator: Operator) -> None:
    """Its streams go on for minutes after a reload or a deployment."""
    user, old = stack.user(), set(stack.broker.workers())
    stack.openai.next("silent_mid_stream")
    stream = user.stream()
    os.kill(stack.broker.process.pid, signal.SIGHUP)
    within(15, lambda: len(set(stack.broker.workers()) - old) == WORKERS)
    operator.run("block", user.id)
    began = time.monotonic()
    assert stream.content.splitlines()[-1] == b'{"error": "Error while streaming"}'
    assert time.monotonic() - began < 1.0


def test_a_block_during_an_outage_of_redis_s_connections_is_found_afterwards(operator: Operator) -> None:
    """The worker's path to Redis is cut: open answers go on, and end once it is back."""
    stack = Stack(through_path=True, OPENAI_CALL_TIMEOUT="30", OPENAI_SILENCE_TIMEOUT="20")
    try:
        user = stack.user()
        stack.openai.next("silent_mid_stream")
        stream = user.stream()
        stack.redis_path.is_dropping = True
        Operator(settings_for(stack.openai, stack.supabase, stack.redis.url)).run("block", user.id)
        time.sleep(1.5)
        began = time.monotonic()
        stack.redis_path.is_dropping = False
        assert stream.content.splitlines()[-1] == b'{"error": "Error while streaming"}'
        assert time.monotonic() - began < 3
        stack.wait_until_balanced()
    finally:
        stack.stop()


def test_a_grant_is_in_force_with_the_next_call(stack: Stack, operator: Operator) -> None:
    """The limits of `/v1/usage` and of the RateLimit fields grow; grants add up; tokens and dollars too."""
    user = stack.user()
    assert ask(user, 5) == [200, 200, 200, 200, 429]
    assert "2 calls" in operator.run("grant", user.id, "--calls", "2", "--tokens", "5000", "--dollars", "0.5")
    day = day_of(user)
    assert (day["limit"], day["remaining"]) == (6, 2)
    assert day["tokens"]["limit"] == 105_000
    assert "3 calls" in operator.run("grant", user.id, "--calls", "1")
    answer = user.post("/gpt-4o", {"messages": "x"})
    assert (answer.status_code, answer.headers["RateLimit"].split(";")[:2]) == (200, ['"daily"', "r=2"])
    assert answer.headers["RateLimit-Policy"].startswith('"daily";q=7;')
    assert ask(user, 3) == [200, 200, 429]
    assert "7 of 7 (4 and 3 granted), 0 left" in operator.run("user", user.id)
    assert "say how much" in operator.run("grant", user.id, status=2)
    assert "must be a whole number" in operator.run("grant", user.id, "--calls", "-3", status=2)


def test_a_reset_gives_the_finished_calls_back_and_leaves_those_in_flight(stack: Stack, operator: Operator) -> None:
    """Tokens and money are given back. A call in flight stays reserved and counts at its end."""
    user = stack.user()
    assert ask(user, 3) == [200] * 3
    stack.openai.next("silent_mid_stream")
    stream = user.stream()
    assert ask(user) == [429]
    before = day_of(user)
    assert before["tokens"]["used"] > 0
    assert "has back 3 calls" in operator.run("reset", user.id)
    after = day_of(user)
    assert (after["used"], after["remaining"], after["limit"]) == (1, 3, 4)
    assert (after["tokens"]["used"], after["dollars"]["used"]) == (0, 0)
    assert after["tokens"]["reserved"] == before["tokens"]["reserved"] > 0
    assert ask(user, 4) == [200, 200, 200, 429]
    stream.close()
    within(3, lambda: day_of(user)["tokens"]["reserved"] == 0)
    assert day_of(user)["used"] == 4
    assert "has back 4 calls" in operator.run("reset", user.id)
    assert "has back 0 calls" in operator.run("reset", user.id)
    assert day_of(user)["used"] == 0
    assert "7 calls" in re.search("given back.*", operator.run("user", user.id))[0]  # type: ignore[index]
    stack.wait_until_balanced()


def test_resets_under_load_are_exact_and_keep_the_ledger_balanced(stack: Stack, operator: Operator) -> None:
    """Every answer that the user got is either counted or given back, and no reset admits more than the limit."""
    user = stack.user()
    with Load([user] * 8) as load:
        given = [int(operator.run("reset", user.id).split()[3]) for _ in range(6)]
    answered = sum(answer.is_good for answer in load.answers)
    assert {(answer.status, answer.code) for answer in load.answers} == {(200, ""), (429, "daily_limit_exceeded")}
    assert answered == sum(given) + day_of(user)["used"]
    assert sum(given) > 4
    stack.wait_until_balanced()


def test_the_top_users_of_a_day(stack: Stack, operator: Operator, tmp_path: Path) -> None:
    """They are sorted by calls, tokens or money, also as CSV. An id that looks like a formula is harmless."""
    user = stack.user()
    operator.run("grant", user.id, "--calls", "20")
    ask(user, 9)
    formula = '=HYPERLINK("http://planted","x")'
    evil = User(formula, stack.broker.url, stack.supabase.token_for(formula))
    ask(evil, 1)
    text = operator.run("users", "--top", "1")
    tables = text.split("\n\n")
    assert [table.splitlines()[0] for table in tables[1:]] == ["by calls", "by tokens", "by dollars"]
    rows = list(csv.DictReader(io.StringIO(operator.run("users", "--csv"))))
    assert [int(row["calls"]) for row in rows] == sorted((int(row["calls"]) for row in rows), reverse=True)
    assert tables[1].splitlines()[2].split()[:2] == [rows[0]["user"], rows[0]["calls"]]
    row = next(row for row in rows if row["user"] == user.id)
    assert (row["calls"], row["granted_calls"], row["blocked"]) == ("9", "20", "no")
    assert int(row["tokens"]) > 0
    assert float(row["dollars"]) > 0
    assert "'" + formula in {row["user"] for row in rows}
    day = rows[0]["day"]
    assert operator.run("users", "--csv", "--day", day) == operator.run("users", "--csv")
    assert "0 users" in operator.run("users", "--day", "2001-01-01")
    assert "Invalid" in operator.run("users", "--day", "yesterday", status=2)


def test_every_change_leaves_an_audit_line(stack: Stack, operator: Operator) -> None:
    """Who, when, what; on one line each."""
    user = str(uuid.uuid4())
    operator.run("block", user, "--by", "grace@office\nforged")
    operator.run("unblock", user)
    operator.run("grant", user, "--calls", "5")
    operator.run("reset", user)
    lines = [line for line in operator.run("audit").splitlines() if user in line]
    assert [re.search(r"  (\w+) " + user, line)[1] for line in lines] == ["block", "unblock", "grant", "reset"]  # type: ignore[index]
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00  \S+@\S+", line) for line in lines)
    assert "  grace@office" in lines[0]
    assert "5 calls, 0 tokens, 0 dollars more" in lines[2]
    assert operator.run("user", user).splitlines()[-4:] == lines
    stack.redis.client.config_set("maxmemory", 1)
    failed = operator.run("block", user, status=1)
    stack.redis.client.config_set("maxmemory", 0)
    assert "Redis failed (full)" in failed


DOCKER = f"""#!/bin/bash
case "$1 $2" in
  "image ls") echo sksndev-3 ;;
  "container inspect") echo true ;;
  exec*) echo "$2" >>"$CONTAINERS"; shift 3; exec {sys.executable} "$@" ;;
esac
"""


def test_the_make_targets_run_the_commands_in_the_container_that_serves(stack: Stack, tmp_path: Path) -> None:
    """A stand-in engine runs the container's command here. `CSV=` names a file that does not exist yet."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    settings = settings_for(stack.openai, stack.supabase, stack.redis.url)
    environ = os.environ | settings | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "ENV_FILE": os.devnull, "CONTAINERS": str(tmp_path / "containers"),
    }  # fmt: skip

    def make(*words: str, status: int = 0) -> str:
        command = ("make", "--no-print-directory", words[0], "TENANT=sksndev", *words[1:])
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    user = stack.user()
    ask(user, 2)
    csv_file = tmp_path / "users.csv"
    assert f"users are in {csv_file}" in make("users", f"CSV={csv_file}")
    assert user.id in csv_file.read_text()
    assert csv_file.stat().st_mode & 0o077 == 0
    assert "exists already" in make("users", f"CSV={csv_file}", status=2)
    assert "0 users" in make("users", "DAY=2001-01-01")
    assert "2 of" in make("user", f"ID={user.id}")
    assert "has back 2 calls" in make("reset", f"ID={user.id}")
    assert "has 7 calls, 10 tokens, 0.250000 dollars" in make(
        "grant", f"ID={user.id}", "CALLS=7", "TOKENS=10", "DOLLARS=0.25"
    )
    make("block", f"ID={user.id}", "BY=grace")
    assert ask(user) == [403]
    make("unblock", f"ID={user.id}")
    assert ask(user) == [200]
    assert re.search(f"  grace  block {user.id}\n.*@.*  unblock {user.id}", make("audit"))
    assert "name the user" in make("block", status=2)
    assert set((tmp_path / "containers").read_text().split()) == {"sksndev-gpt-broker-3"}


@pytest.fixture(params=[SixNodeCluster, SentinelService])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SixNodeCluster | SentinelService]:
    made = request.param(tmp_path)
    yield made
    made.stop()


def test_the_commands_work_with_cluster_and_sentinel(
    service: SixNodeCluster | SentinelService,
    start_broker: StartBroker,
    new_user: Callable[..., User],
    openai: object,
    supabase: object,
) -> None:
    """Every primary is looked through; a block ends open streams."""
    broker = start_broker("/ready", REDIS_URL=service.url, WEB_CONCURRENCY="2", DAILY_LIMIT="2")
    operator = Operator(settings_for(openai, supabase, service.url) | {"DAILY_LIMIT": "2"})  # type: ignore[arg-type]
    users = [new_user(broker) for _ in range(8)]
    for user in users:
        assert ask(user, 2) == [200, 200]
    text = operator.run("users", "--csv")
    assert {row["user"] for row in csv.DictReader(io.StringIO(text))} == {user.id for user in users}
    assert "has back 2 calls" in operator.run("reset", users[0].id)
    operator.run("grant", users[0].id, "--calls", "1")
    openai.next("silent_mid_stream")  # type: ignore[attr-defined]
    stream = users[0].stream()
    operator.run("block", users[0].id)
    began = time.monotonic()
    assert stream.content.splitlines()[-1] == b'{"error": "Error while streaming"}'
    assert time.monotonic() - began < 1
    assert ask(users[0]) == [403]
    assert [line.split()[2] for line in operator.run("audit").splitlines()] == ["reset", "grant", "block"]
