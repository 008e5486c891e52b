"""All that stands around a contestant: the stand-ins, Redis, and the load generator."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from deploy.local.broker_process import ROOT
from deploy.local.supabase_auth import SupabaseStandIn
from tests.benchmarks import call_load, stream_load
from tests.benchmarks.contestants import Broker, Contestant, Nginx
from tests.benchmarks.process_tree import ProcessTree
from tests.benchmarks.processors import CONTESTANT, REST, running_on
from tests.integration.redis_process import RedisProcess

USERS = 200  # whose calls are made in turns
KEY = "sk-benchmark-0123456789"


class BenchmarkRedis(RedisProcess):
    """Redis as an operator runs it for counters: its append-only file written once a second."""

    persistence = 'save ""\nappendonly yes\nappendfsync everysec\n'

    def tree(self) -> ProcessTree:
        """Its process."""
        return ProcessTree(self._process.pid)


class Surroundings:
    """Started once for a run; `close` ends all."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gpt-broker-bench-")))
        with running_on(REST):
            self.upstream = self._start_upstream()
            self.redis = BenchmarkRedis(self.folder)
            self._stack.callback(self.redis.stop)
            self._supabase = SupabaseStandIn(alg="ES256")
            self._supabase.start_in_thread()
            self._stack.callback(self._supabase.stop)
        self.tokens = self.new_tokens(USERS)

    def close(self) -> None:
        """End all that was started."""
        self._stack.close()

    def new_tokens(self, count: int) -> tuple[str, ...]:
        """Access tokens of so many users."""
        return tuple(self._supabase.token_for(f"{n:08d}-0000-4000-8000-000000000000") for n in range(count))

    @contextlib.contextmanager
    def contestant(self, name: str, workers: int = 1) -> Iterator[Contestant]:
        """This contestant, which has given its first answer."""
        with running_on(CONTESTANT):
            contestant = self._make(name, workers)
        try:
            contestant.wait_until_it_answers()
            yield contestant
        finally:
            contestant.stop()

    def _make(self, name: str, workers: int) -> Contestant:
        if name == Nginx.name:
            return Nginx(self.folder, self.upstream_port)
        if name == Broker.name:
            return Broker(self._settings(), self.tokens, workers)
        return Contestant(self.upstream_port)

    def _settings(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.upstream_port}/v1",
            "SUPABASE_URL": self._supabase.url,
            "SUPABASE_SERVICE_KEY": self._supabase.service_key,
            "REDIS_URL": self.redis.url,
            "DAILY_LIMIT": "1000000000",
            "ID_WHITE_LIST": "[]",
        }

    def make_calls(self, job: call_load.Job) -> call_load.Report:
        """Run a job of whole calls to its end."""
        with self._load("calls", asdict(job)) as process:
            return call_load.Report(**json.loads(_last_line(process)))

    def make_streams(self, job: stream_load.Job, while_open: Callable[[], None] | None = None) -> stream_load.Report:
        """Run a job of streams to its end; `while_open` is called once all are open."""
        with self._load("streams", asdict(job)) as process:
            assert process.stdout
            line = process.stdout.readline()
            if line == "open\n" and while_open:
                while_open()
            return stream_load.Report(**json.loads(_last_line(process)))

    @contextlib.contextmanager
    def _load(self, kind: str, job: dict[str, object]) -> Iterator["subprocess.Popen[str]"]:
        with running_on(REST):
            process = subprocess.Popen(
                (sys.executable, "-m", "tests.benchmarks.load", kind),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert process.stdin
        with process:
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            yield process

    def _start_upstream(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            (sys.executable, "-m", "tests.benchmarks.upstream"), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        assert process.stdout
        self.upstream_port = int(process.stdout.readline())
        return process


def _last_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.read().splitlines()[-1]
