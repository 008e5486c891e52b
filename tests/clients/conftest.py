"""Every client's tasks, run once for all tests against the real broker, on users of their own."""

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.local.broker_process import ROOT, BrokerProcess
from deploy.local.openai_api import OpenAIStandIn, Seen
from deploy.local.supabase_auth import SupabaseStandIn
from tests.authority import authority
from tests.clients.cases import CLIENTS, Case, Client
from tests.integration.conftest import User, redis_server, settings_for, supabase  # noqa: F401 - fixtures
from tests.integration.redis_process import RedisProcess
from tests.recorded import RECORDED

AT_ONCE = 3  # programs
SECONDS = 90  # for one program


@dataclass
class Outcome:
    """A client's result of a case, and the requests that reached OpenAI meanwhile."""

    value: Any = None
    error: dict[str, Any] | None = None
    requests: list[Seen] = field(default_factory=list)


Outcomes = dict[tuple[str, str, str], Outcome]
Prepared = tuple[dict[str, dict[str, Any]], dict[str, str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder start real programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="package")
def openai_for_clients() -> Iterator[OpenAIStandIn]:
    """A stand-in for OpenAI that receives requests of the clients only."""
    stand_in = OpenAIStandIn(folders=(RECORDED,) if RECORDED.exists() else ())
    stand_in.tls = authority().server_context()
    stand_in.start_in_thread()
    yield stand_in
    stand_in.stop()


@pytest.fixture(scope="package")
def brokers(
    openai_for_clients: OpenAIStandIn,
    supabase: SupabaseStandIn,  # noqa: F811 - a fixture
    redis_server: RedisProcess,  # noqa: F811
) -> Iterator[dict[str, BrokerProcess]]:
    """Two brokers: one with room for many calls, one that allows each user one call a day."""
    settings = settings_for(openai_for_clients, supabase, redis_server.url) | {
        "WEB_CONCURRENCY": "1",
        "REDIS_TIMEOUT": "5",
    }
    started = {
        "roomy": BrokerProcess(settings | {"DAILY_LIMIT": "100"}),
        "tight": BrokerProcess(settings | {"DAILY_LIMIT": "1"}),
    }
    for broker in started.values():
        broker.wait_until("/ready")
    yield started
    for broker in started.values():
        broker.end()


@pytest.fixture(scope="package")
def outcomes(
    brokers: dict[str, BrokerProcess],
    openai_for_clients: OpenAIStandIn,
    supabase: SupabaseStandIn,  # noqa: F811 - a fixture
) -> Outcomes:
    """The outcome of every client, API and case."""
    run = _Run(brokers, openai_for_clients, supabase)
    prepared = [run.prepare(client) for client in CLIENTS]  # before the programs, which take all processors
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for of_client in pool.map(run.of_client, CLIENTS, prepared):
            run.outcomes.update(of_client)
    return run.outcomes


class _Run:
    def __init__(self, brokers: dict[str, BrokerProcess], openai: OpenAIStandIn, project: SupabaseStandIn) -> None:
        self.outcomes: Outcomes = {}
        self._brokers = brokers
        self._openai = openai
        self._supabase = project

    def prepare(self, client: Client) -> Prepared:
        """Return the jobs of a client, and the pseudonyms of their users, by user id."""
        jobs, names = {}, {}
        for api in client.apis:
            for case in client.cases():
                job = self._job(api, case)
                jobs[job["id"]] = job
                names[job["id"]] = self._name_at_openai(case, job["id"])
        return jobs, names

    def of_client(self, client: Client, prepared: Prepared) -> Outcomes:
        """Run one client's program to its end."""
        jobs, names = prepared
        lines = _communicate(client, list(jobs.values()))
        assert lines.keys() == jobs.keys(), f"{client.name} said nothing of {jobs.keys() - lines.keys()}"
        return {
            (client.name, job["api"], job["case"]): Outcome(**lines[key], requests=self._requests(names[key]))
            for key, job in jobs.items()
        }

    def _job(self, api: str, case: Case) -> dict[str, Any]:
        user_id = str(uuid.uuid4())
        url = self._brokers[case.broker].url + case.path
        lifetime = {"expires_in": -60} if case.is_expired else {}
        token = self._supabase.token_for(user_id, **lifetime)
        return {"id": user_id, "api": api, "case": case.name, "task": case.task, "baseURL": url, "token": token,
                "question": case.question, "model": case.model}  # fmt: skip

    def _name_at_openai(self, case: Case, user_id: str) -> str:
        """The user's pseudonym, from a call made before; on the tight broker it is the only one of the day."""
        user = User(user_id, self._brokers[case.broker].url, self._supabase.token_for(user_id))
        message = {"role": "user", "content": f"who is {uuid.uuid4()}?"}
        response = user.post("/v1/chat/completions", {"model": "gpt-4o", "messages": [message]})
        assert response.status_code == 200, response.text
        return next(
            str(seen.body["safety_identifier"]) for seen in self._openai.seen if seen.body.get("messages") == [message]
        )

    def _requests(self, name: str) -> list[Seen]:
        """The requests of this pseudonym, without the first one."""
        return [seen for seen in self._openai.seen if seen.body.get("safety_identifier") == name][1:]


def _communicate(client: Client, jobs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The program's outcomes by the id of the job."""
    done = subprocess.run(
        client.command(),
        cwd=ROOT,
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line.pop("id"): line for line in lines}


@pytest.fixture
def outcome_of(outcomes: Outcomes) -> Callable[[str, str, str], Outcome]:
    """One outcome by client, API and case."""
    return lambda client, api, case: outcomes[client, api, case]
