"""SIGHUP reads the settings anew while calls and streams go on."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import KEY
from tests.integration.load import Load
from tests.integration.stack import Stack
from tests.integration.waiting import within

GOOD = (200, "")


class Reloadable:
    """A stack whose broker reads its settings from an env file and its OpenAI key from a file."""

    def __init__(self, folder: Path) -> None:
        self.env_file, self.key_file, self.metrics = folder / "env", folder / "key", folder / "metrics"
        self.metrics.mkdir()
        (self.metrics / "counter_of_mine.txt").write_text("kept")
        (self.metrics / "counter_4711.db").write_bytes(b"")
        self.env_file.write_text("DAILY_LIMIT=100000\n")
        self.key_file.write_text(KEY + "\n")
        self.stack = Stack(
            ENV_FILE=str(self.env_file),
            OPENAI_API_KEY="",
            OPENAI_API_KEY_FILE=str(self.key_file),
            PROMETHEUS_MULTIPROC_DIR=str(self.metrics),
            OPENAI_CALL_TIMEOUT="30",
            OPENAI_SILENCE_TIMEOUT="10",
            GRACEFUL_TIMEOUT="1",
            DAILY_LIMIT="",
        )

    @property
    def broker(self) -> BrokerProcess:
        return self.stack.broker

    def reload(self) -> None:
        """Send SIGHUP and wait until the new workers serve, or the log says that the reload is refused."""
        refused, starts = self.refused(), self.starts()
        os.kill(self.broker.process.pid, signal.SIGHUP)
        within(15, lambda: self.refused() > refused or self.starts() >= starts + 2)

    def refused(self) -> int:
        return self.stack.log_count("reload refused, the old settings stay")

    def starts(self) -> float:
        return self.stack.metric("worker_starts_total")


@pytest.fixture(scope="module")
def reloadable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    made = Reloadable(tmp_path_factory.mktemp("reload"))
    yield made
    made.stack.stop()


def limit_of(stack: Stack) -> str:
    return stack.user().get("/v1/usage").headers["RateLimit-Policy"]


def test_a_reload_under_load_loses_no_call_and_no_stream(reloadable: Reloadable) -> None:
    """Streams outlast `GRACEFUL_TIMEOUT`; other calls get the new settings; the metrics keep their counts."""
    stack = reloadable.stack
    before = set(stack.broker.workers())
    stack.user().post("/gpt-4o", {"messages": "x"})
    counted = stack.metric("requests_total", method="POST", endpoint="/gpt-4o", status_code="200")
    stack.openai.token_delay = 0.2
    users = stack.users(5)
    with ThreadPoolExecutor(5) as pool:
        streams = list(pool.map(lambda user: user.stream(), users))
        stack.openai.token_delay = 0.002
        reloadable.env_file.write_text("DAILY_LIMIT=77777\n")
        with Load(stack.users()) as load:
            reloadable.reload()
            time.sleep(1.5)
        contents = list(pool.map(lambda stream: stream.content, streams))
    assert all(b'"error"' not in content and content.count(b'"data"') > 5 for content in contents)
    assert set(load.tally()) == {GOOD}
    assert '"daily";q=77777;' in limit_of(stack)
    assert len(set(stack.broker.workers()) - before) == 2
    assert stack.metric("worker_deaths_total") == 0
    assert stack.metric("requests_total", method="POST", endpoint="/gpt-4o", status_code="200") > counted
    stack.wait_until_balanced()


def test_rotating_the_key_under_load_gives_no_failed_call(reloadable: Reloadable) -> None:
    """The new key is added, the old one revoked at OpenAI, then removed. The log names keys by number only."""
    stack, new = reloadable.stack, "sk-stand-in-rotated"
    with Load(stack.users()) as load:
        reloadable.key_file.write_text(f"{KEY}\n{new}\n")
        old = set(stack.broker.workers())
        reloadable.reload()
        within(15, lambda: len(stack.broker.workers()) == 2 and not old & set(stack.broker.workers()))
        stack.openai.key = new
        within(5, lambda: stack.broker.log_lines("OpenAI key is set aside"))
        reloadable.key_file.write_text(new + "\n")
        reloadable.reload()
    assert set(load.tally()) == {GOOD}
    assert {line["key_number"] for line in stack.broker.log_lines("OpenAI key is set aside")} == {1}
    assert {line["key_number"] for line in stack.broker.log_lines("OpenAI key is in use")} == {2}
    assert new not in stack.broker.log()


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        ("DAILY_LIMIT=planted", "DAILY_LIMIT"),
        ("DAILY_LIMT=planted", "DAILY_LIMT"),
        ("SUPABASE_JWT_SECRET_FILE=/planted", "SUPABASE_JWT_SECRET"),
        ("DAILY_LIMIT planted", "line 1"),
    ],
)
def test_a_mistake_is_logged_and_changes_nothing(reloadable: Reloadable, mistake: str, named: str) -> None:
    """The old workers go on with the old settings; the log names the variable and no value."""
    stack = reloadable.stack
    limit = limit_of(stack)
    starts = stack.metric("worker_starts_total")
    reloadable.env_file.write_text(mistake + "\n")
    reloadable.reload()
    refused = stack.broker.log_lines("reload refused, the old settings stay")[-1]
    assert named in refused["reason"]
    assert "planted" not in refused["reason"]
    assert stack.metric("worker_starts_total") == starts
    assert limit_of(stack) == limit
    reloadable.env_file.write_text("DAILY_LIMIT=77777\n")
    reloadable.reload()
    assert '"daily";q=77777;' in limit_of(stack)


def test_a_worker_that_dies_after_a_reload_is_replaced_at_once(reloadable: Reloadable) -> None:
    """Workers that only finish their streams do not count as workers."""
    stack = reloadable.stack
    stack.openai.next("silent_mid_stream")
    stream = stack.user().stream()
    old = set(stack.broker.workers())
    reloadable.reload()
    within(5, lambda: len(set(stack.broker.workers()) - old) == 2)
    new = set(stack.broker.workers()) - old
    for worker in new:
        os.kill(worker, signal.SIGKILL)
    within(5, lambda: len(set(stack.broker.workers()) - old - new) == 2)
    stack.wait_until_serving(stack.user())
    stream.close()


def test_a_worker_that_left_no_metrics_does_not_end_the_master(reloadable: Reloadable) -> None:
    """A worker that was killed at birth leaves an empty file."""
    stack = reloadable.stack
    worker = stack.broker.workers()[0]
    os.kill(worker, signal.SIGSTOP)
    for path in reloadable.metrics.glob(f"*_{worker}.db"):
        path.write_bytes(b"")
    os.kill(worker, signal.SIGKILL)
    within(10, lambda: worker not in stack.broker.workers())
    stack.wait_until_serving(stack.user())
    assert requests.get(stack.broker.url + "/metrics", timeout=5).status_code == 200


def test_after_several_reloads_each_series_is_there_once(reloadable: Reloadable) -> None:
    """The master keeps no more open than before."""
    stack = reloadable.stack
    opened = Path(f"/proc/{stack.broker.process.pid}/fd")
    before = len(list(opened.iterdir()))
    for _ in range(3):
        reloadable.reload()
    within(15, lambda: len(stack.broker.workers()) == 2)
    lines = requests.get(stack.broker.url + "/metrics", timeout=5).text.splitlines()
    series = [line.rpartition(" ")[0] for line in lines]
    assert sorted(set(series)) == sorted(series)
    assert stack.metric("workers") == 2
    assert len(list(opened.iterdir())) <= before


def test_only_the_metrics_own_files_are_deleted(reloadable: Reloadable) -> None:
    """Files are deleted at the start and at the end, so this is the last test."""
    assert not (reloadable.metrics / "counter_4711.db").exists()
    assert reloadable.broker.stop() == 0
    assert [path.name for path in reloadable.metrics.iterdir()] == ["counter_of_mine.txt"]
