"""Everything around a contestant: the stand-ins, Redis, and the load generator."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from deploy.local.authority import Authority
from deploy.local.broker_process import ROOT
from deploy.local.supabase_auth import SupabaseStandIn
from tests.benchmarks import call_load, processors, stream_load
from tests.benchmarks.contestants import Broker, Contestant, Nginx, Origin, Plain
from tests.benchmarks.counters import Counters, user_ids
from tests.benchmarks.peer import LiteLLM
from tests.benchmarks.processors import running_on

USERS = 200  # calling in turn
TCP = "-tcp"  # the end of the name of a contestant that reaches the stand-in over plain TCP
KEY = "sk-benchmark-0123456789"
Process = subprocess.Popen[str]


class Surroundings:
    """The programs of a run, started on creation; `close` stops them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gpt-broker-bench-")))
        self._authority = Authority(self._folder)
        with running_on(processors.REST):
            self.upstream = self._start_upstream()
            self.redis = Counters(self._folder)
            self._stack.callback(self.redis.stop)
            self._supabase = SupabaseStandIn(alg="ES256")
            self._supabase.start_in_thread()
            self._stack.callback(self._supabase.stop)

    def close(self) -> None:
        """Stop all programs."""
        self._stack.close()

    def tokens(self, users: Iterable[str]) -> tuple[str, ...]:
        """Return a new access token for each user."""
        return tuple(self._supabase.token_for(user) for user in users)

    @contextlib.contextmanager
    def contestant(self, name: str) -> Iterator[Contestant]:
        """Start this contestant on its own processor and wait for its first answer."""
        if name.removesuffix(TCP) == Broker.name:
            with self.broker(origin=self.origin(name)) as broker:
                yield broker
            return
        with running_on(processors.CONTESTANT):
            contestant = self._make(name)
        with contextlib.closing(contestant):
            contestant.wait_until_it_answers()
            yield contestant

    @contextlib.contextmanager
    def broker(
        self,
        workers: int = 1,
        users: Iterable[str] | None = None,
        origin: Origin | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Broker]:
        """Start a broker likewise, with `more` settings; one with several workers may use all processors."""
        tokens = self.tokens(users or user_ids(USERS))
        with running_on(processors.CONTESTANT if workers == 1 else set(processors.ALL)):
            broker = Broker(self._settings(origin or self.origin()) | dict(more), tokens, workers)
        with contextlib.closing(broker):
            broker.wait_until_it_answers()
            yield broker

    def make_calls(self, job: call_load.Job) -> call_load.Report:
        """Run a job of whole calls to its end."""
        with self._load("calls", asdict(job)) as process:
            assert process.stdout
            return call_load.Report(**json.loads(process.stdout.readline()))

    def make_streams(self, job: stream_load.Job, while_open: Callable[[], None] | None = None) -> stream_load.Report:
        """Run a job of streams to its end; `while_open` is called once all are open."""
        with self._load("streams", asdict(job)) as process:
            assert process.stdout
            line = process.stdout.readline()
            if line == "open\n":
                if while_open:
                    while_open()
                line = process.stdout.readline()
            return stream_load.Report(**json.loads(line))

    def _make(self, name: str) -> Contestant:
        origin = self.origin(name)
        if name.removesuffix(TCP) == Nginx.name:
            return Nginx(self._folder, origin)
        if name == Plain.name:
            return Plain(self._settings(origin), self.tokens(user_ids(USERS)))
        if name == LiteLLM.name:
            return LiteLLM(self._folder, origin)
        return Contestant(self._tcp_port)

    def origin(self, name: str = "") -> Origin:
        """The stand-in as this contestant reaches it: over TLS unless its name says otherwise."""
        return Origin(self._tcp_port, None) if name.endswith(TCP) else Origin(self._tls_port, self._authority.file)

    def _settings(self, origin: Origin) -> dict[str, str]:
        return origin.trust | {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": origin.url + "/v1",
            "SUPABASE_URL": self._supabase.url,
            "SUPABASE_SERVICE_KEY": self._supabase.service_key,
            "REDIS_URL": self.redis.url,
            "DAILY_LIMIT": "1000000000",
            "ID_WHITE_LIST": "[]",
        }

    @contextlib.contextmanager
    def _load(self, kind: str, job: dict[str, object]) -> Iterator[Process]:
        with running_on(processors.REST):
            process = self._run("load", kind, stdin=subprocess.PIPE)
        assert process.stdin
        with process:
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            yield process

    def _start_upstream(self) -> Process:
        process = self._run("upstream", str(self._authority.server_file))
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        assert process.stdout
        self._tcp_port, self._tls_port = map(int, process.stdout.readline().split())
        return process

    def _run(self, module: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> Process:
        command = (sys.executable, "-m", f"tests.benchmarks.{module}", *arguments)
        return subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, text=True)
