"""Prometheus with the project's configuration and all dashboard queries, scraping brokers under load."""

import json
import math
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from deploy.grafana.dashboards import FILE
from deploy.local.broker_process import ROOT, BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import StartBroker, User
from tests.integration.prometheus_process import PrometheusProcess
from tests.integration.waiting import within

TENANTS = ("sksndev", "techsksn")
NewUser = Callable[[BrokerProcess], User]


@pytest.fixture
def brokers(start_broker: StartBroker) -> dict[str, BrokerProcess]:
    """One broker per tenant. A worker of the first one is killed."""
    started = {tenant: start_broker(WEB_CONCURRENCY="2", DAILY_LIMIT="5") for tenant in TENANTS}
    os.kill(started["sksndev"].workers()[0], signal.SIGKILL)
    return started


@pytest.fixture
def prometheus(brokers: dict[str, BrokerProcess], tmp_path: Path) -> Iterator[PrometheusProcess]:
    """A Prometheus that scrapes both."""
    process = PrometheusProcess(tmp_path, {tenant: f"127.0.0.1:{broker.port}" for tenant, broker in brokers.items()})
    yield process
    process.stop()


def load(broker: BrokerProcess, new_user: NewUser, openai: OpenAIStandIn, enough: threading.Event) -> None:
    """Generate streams, plain calls, calls over the limit, invalid tokens and OpenAI failures."""
    while not enough.is_set():
        user = new_user(broker)
        openai.next("500_server_error")
        for _ in range(3):
            assert user.stream().content
        openai.next("cut_before_headers", times=2)
        user.post("/gpt-4o", {"messages": "x"})
        openai.next("401_masked_key")
        for _ in range(6):
            user.post("/gpt-4o", {"messages": "x"})
        requests.post(broker.url + "/gpt-4o", timeout=5)


def queries(tenant: str) -> list[str]:
    dashboard = json.loads(FILE.read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [one.replace("$__rate_interval", "10s").replace("$tenant", tenant) for one in found]


def test_every_dashboard_query_has_data_and_alerts_fire(
    brokers: dict[str, BrokerProcess], prometheus: PrometheusProcess, new_user: NewUser, openai: OpenAIStandIn
) -> None:
    """Under load, no query is empty or NaN. When a broker stops, BrokerDown fires for its tenant."""
    enough, silent = threading.Event(), {one: "" for tenant in TENANTS for one in queries(tenant)}
    callers = [threading.Thread(target=load, args=(one, new_user, openai, enough)) for one in brokers.values()]
    for caller in callers:
        caller.start()
    try:
        within(25, lambda: not unanswered(prometheus, silent))
    finally:
        enough.set()
        for caller in callers:
            caller.join()
    assert len(silent) > 40
    assert prometheus.query('sum(rate(gpt_broker_requests_total{status_code="429"}[20s]))')[0] > 0
    assert prometheus.query('sum(rate(gpt_broker_upstream_failures_total{kind="openai_refused"}[20s]))')[0] > 0
    assert prometheus.query('gpt_broker_workers{tenant="techsksn"}') == [2]
    assert prometheus.query('gpt_broker_worker_starts_total{tenant="sksndev"}') == [3]
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
    assert prometheus.query('ALERTS{alertname="BrokerDown"}') == []
    brokers["techsksn"].end()
    within(10, lambda: prometheus.query('ALERTS{alertname="BrokerDown", tenant="techsksn"}') == [1])
    assert prometheus.query('ALERTS{alertname="BrokerDown", tenant="sksndev"}') == []


def test_an_alert_fires_when_most_calls_get_401_and_names_the_reason(
    start_broker: StartBroker, new_user: NewUser, tmp_path: Path
) -> None:
    """A changed issuer causes it. The dashboard's annotation shows the deployed commit."""
    broker = start_broker(WEB_CONCURRENCY="2", SUPABASE_JWT_ISSUER="https://planted.example/auth/v1", REVISION="abc123")
    prometheus = PrometheusProcess(tmp_path, {"sksndev": f"127.0.0.1:{broker.port}"}, is_hastened=True)
    try:
        user, enough = new_user(broker), threading.Event()
        caller = threading.Thread(
            target=lambda: [user.post("/gpt-4o", {}) for _ in iter(lambda: enough.wait(0.05), True)]
        )
        caller.start()
        try:
            within(30, lambda: [alert["state"] for alert in prometheus.alerts()] == ["firing"])
        finally:
            enough.set()
            caller.join()
        (alert,) = prometheus.alerts()
        assert alert["labels"] == {"alertname": "SignInsRefused", "tenant": "sksndev", "severity": "page"}
        assert alert["annotations"]["summary"] == "sksndev: 100% of all calls get 401"
        assert alert["annotations"]["todo"].endswith("most often wrong_issuer")
        (annotation,) = json.loads(FILE.read_text())["annotations"]["list"]
        assert prometheus.query(annotation["expr"].replace("$tenant", "sksndev")) == [1]
    finally:
        prometheus.stop()


def unanswered(prometheus: PrometheusProcess, expressions: dict[str, str]) -> list[str]:
    """The queries that have no data yet."""
    answers = {one: prometheus.query(one) for one in expressions}
    return [one for one, values in answers.items() if not values or all(map(math.isnan, values))]


@pytest.mark.parametrize(
    "check",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
)
def test_promtool_passes(check: tuple[str, ...]) -> None:
    """The configuration, the rules and the rules' unit tests are valid."""
    assert shutil.which("promtool"), "promtool is missing: `make test` installs it"
    done = subprocess.run(
        ("promtool", *check), cwd=ROOT / "deploy" / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_private_addresses_may_scrape_and_strangers_may_not(broker: BrokerProcess) -> None:
    """A forwarded public address is refused."""
    assert requests.get(broker.url + "/metrics", timeout=5).status_code == 200
    stranger = {"X-Forwarded-For": "203.0.113.9"}
    assert requests.get(broker.url + "/metrics", headers=stranger, timeout=5).status_code == 403
