"""Prometheus beside the tenants: it scrapes every proxy, and every alert is caused for real."""

import contextlib
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from deploy.local.broker_process import free_port
from tests.containers.calls import call, containers, is_ready, left_now, revision, send_signal
from tests.containers.conftest import PACE, TENANTS, Stack, current, run
from tests.integration.nginx_process import PATH
from tests.integration.waiting import within

pytestmark = pytest.mark.usefixtures("started")

IMAGE = """\
FROM python:3.13-slim
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""


class Alerts:
    """The alerts of a Prometheus that scrapes every second, with windows of seconds instead of minutes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fired: set[str] = set()

    def query(self, expression: str) -> list[dict[str, str]]:
        answer = requests.get(self.url + "/api/v1/query", params={"query": expression}, timeout=5).json()
        return [series["metric"] for series in answer["data"]["result"]]

    def firing(self, tenant: str) -> set[str]:
        return {one["alertname"] for one in self.query(f'ALERTS{{alertstate="firing", tenant="{tenant}"}}')}

    def await_firing(self, tenant: str, *names: str) -> None:
        """Wait until each has fired."""
        seen: set[str] = set()

        def all_fired() -> bool:
            time.sleep(0.2)
            seen.update(self.firing(tenant))
            return set(names) <= seen

        within(60, all_fired)
        self.fired.update(seen)


def hastened(text: str) -> str:
    """Minutes become seconds, so that a test need not wait. 15 minutes become a minute, and a day stays a day."""
    text = re.sub(r"(\[|for: )(\d+)m", lambda found: f"{found[1]}{max(4, int(found[2]))}s", text)
    return text.replace("[15s]", "[60s]")


@pytest.fixture(scope="module")
def alerts(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alerts]:
    """`make monitoring`, with Debian's Prometheus."""
    program, folder, port = shutil.which("prometheus", path=PATH), tmp_path_factory.mktemp("prometheus"), free_port()
    assert program, "prometheus is missing: `make test` installs it"
    shutil.copy2(program, folder / "prometheus")
    (folder / "Dockerfile").write_text(IMAGE)
    run("docker", "build", "--quiet", "--tag", "gpt-broker-test:prometheus", str(folder))
    rules, config = (stack.folder / "deploy" / "prometheus" / name for name in ("alerts.yml", "prometheus.yml"))
    texts = rules.read_text(), config.read_text()
    rules.write_text(hastened(texts[0]))
    config.write_text(texts[1].replace("interval: 15s", "interval: 1s"))
    (stack.folder / "deploy" / ".env").write_text(
        f"PROMETHEUS_IMAGE=gpt-broker-test:prometheus\nPROMETHEUS_PORT={port}\nSERVICES=prometheus\n"
    )
    stack.run("make", "monitoring")
    yield Alerts(f"http://127.0.0.1:{port}")
    rules.write_text(texts[0])
    config.write_text(texts[1])


def test_prometheus_scrapes_every_tenant(stack: Stack, alerts: Alerts) -> None:
    """The list of tenants gives the targets, which are their proxies."""
    within(60, lambda: {one["tenant"] for one in ready_query(alerts, "up == 1")} == set(TENANTS))
    rules = requests.get(alerts.url + "/api/v1/rules", timeout=5).json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in rules) > 10


def ready_query(alerts: Alerts, expression: str) -> list[dict[str, str]]:
    try:
        return alerts.query(expression)
    except (requests.RequestException, KeyError):
        return []


def test_no_alert_fires_in_normal_operation(stack: Stack, alerts: Alerts) -> None:
    for _ in range(20):
        for tenant in TENANTS:
            call(stack, tenant)
    for tenant in TENANTS:
        assert alerts.firing(tenant) == set()


def test_every_alert_is_caused(stack: Stack, alerts: Alerts) -> None:
    """Both tenants have their faults at the same time, which takes half as long. No rule is left out."""
    settings = {"USAGE_WITHOUT_REDIS": "allow", "DAILY_LIMIT": "1", "ID_WHITE_LIST": GRACE}
    with stack.reloaded_settings("techsksn", **settings), ThreadPoolExecutor(2) as pool:
        for scenario in (pool.submit(one, stack, alerts) for one in (faults_of_openai, faults_of_parts)):
            scenario.result()
    groups = requests.get(alerts.url + "/api/v1/rules", timeout=5).json()["data"]["groups"]
    assert {rule["name"] for group in groups for rule in group["rules"]} == alerts.fired


BUDGET = {"TENANT_DAILY_SPEND": "0.01", "TENANT_SPEND_SLICE": "0.0005", "MAX_COMPLETION_TOKENS": "100"}
GRACE = '["22222222-2222-4222-8222-222222222222"]'  # the live checks' user, who must not be over the limit


def faults_of_openai(stack: Stack, alerts: Alerts) -> None:
    """OpenAI fails, then refuses the account, then is slow; the tenant's budget is used up; most tokens are refused."""
    with Caller(stack, "sksndev"):
        stack.openai.next("500_server_error", times=-1)
        alerts.await_firing("sksndev", "OpenAIAway", "ManyErrors", "NothingAnswered")
        stack.openai.reset()
        stack.openai.next("401_masked_key", times=-1)
        alerts.await_firing("sksndev", "OpenAIRefusesTheAccount")
        stack.openai.reset()
        stack.openai.first_token_delay, stack.openai.token_delay = 6, 0
        alerts.await_firing("sksndev", "SlowFirstToken")
        stack.openai.first_token_delay, stack.openai.token_delay = 0, PACE
        with stack.reloaded_settings("sksndev", **BUDGET):
            alerts.await_firing("sksndev", "TenantBudgetHalfSpent", "TenantBudgetNearlySpent", "TenantBudgetSpent")
    with Caller(stack, "sksndev", token="planted"):
        alerts.await_firing("sksndev", "SignInsRefused")


def faults_of_parts(stack: Stack, alerts: Alerts) -> None:
    """Techsksn has a user over the limit, counts locally without Redis, and cannot fetch signing keys.

    Its container restarts repeatedly, its workers die repeatedly, and it stops.
    """
    name, supabase = current("techsksn"), stack.supabase["techsksn"]
    with Caller(stack, "techsksn"):
        alerts.await_firing("techsksn", "QuotaRefusalsJump")
        run("docker", "pause", "techsksn-redis-stack")
        alerts.await_firing("techsksn", "RedisAway", "CountingWithoutRedis")
        run("docker", "unpause", "techsksn-redis-stack")
    supabase.behaviour = "failing"
    for _ in range(3):  # it fetches the keys at its start
        send_signal(name, signal.SIGKILL)
        within(60, lambda: alerts.query('up{tenant="techsksn"} == 0'))
        within(60, lambda: alerts.query('up{tenant="techsksn"} == 1'))
    alerts.await_firing("techsksn", "BrokerRestarts", "SupabaseAway")
    supabase.behaviour = "well"
    within(60, lambda: is_ready(stack, "techsksn"))
    for _ in range(4):
        run("docker", "exec", name, "python", "-c", KILL_WORKER, check=False)
        within(30, lambda: is_ready(stack, "techsksn"))
    alerts.await_firing("techsksn", "WorkersDying")
    run("docker", "stop", name)
    alerts.await_firing("techsksn", "BrokerDown")
    run("docker", "start", name)
    within(60, lambda: is_ready(stack, "techsksn"))


KILL_WORKER = """
import os, pathlib, signal
masters = {}
for path in pathlib.Path("/proc").glob("[0-9]*"):
    words = (path / "cmdline").read_bytes()
    if b"gunicorn" in words and int(path.name) != 1:
        parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        masters.setdefault(parent, []).append(int(path.name))
workers = max(masters.items(), key=lambda item: item[0])[1]
os.kill(workers[0], signal.SIGKILL)
"""


class Caller:
    """Users who call continuously, regardless of the answers, with `token` if it is given."""

    def __init__(self, stack: Stack, tenant: str, token: str = "") -> None:
        self._stack, self._tenant, self._stop = stack, tenant, threading.Event()
        self._token = token or stack.supabase[tenant].token()
        self._threads = [threading.Thread(target=self._call) for _ in range(8)]

    def __enter__(self) -> "Caller":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.wait(0.3):
            with contextlib.suppress(requests.RequestException):
                call(self._stack, self._tenant, path="/stream", token=self._token)


def test_a_bad_commit_after_both_down_gives_what_ran_before(stack: Stack, alerts: Alerts) -> None:
    """The last good releases run with their settings, the day's counts go on, Prometheus is back. both_up fails."""
    before = {tenant: (revision(tenant), left_now(stack, tenant)) for tenant in TENANTS}
    stack.run("./both_down")
    assert not containers("--filter", "status=running")
    with stack.harmful_commit("wsgi.py", "import", "raise SystemExit\nimport"):
        output = stack.run("./both_up", check=False)
    assert output.count("The last good one is back with its settings, checked.") == 2
    assert "Not updated: sksndev techsksn" in output
    for tenant, (commit, left) in before.items():
        assert revision(tenant) == commit
        assert left_now(stack, tenant) == left - 1
    within(60, lambda: {one["tenant"] for one in ready_query(alerts, "up == 1")} == set(TENANTS))
