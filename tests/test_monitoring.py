"""Alerts and dashboards speak of what the broker really measures."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.metrics import Metrics
from deploy.grafana.dashboards import FOLDER, TENANTS, dashboard, written

DEPLOY = Path(__file__).parents[1] / "deploy"
PARTS = re.compile(r"_(bucket|sum|count)$")


def measured() -> set[str]:
    """The names that the broker exposes, as Prometheus knows them."""
    text = Metrics().exposition(None)[0]
    families = text_string_to_metric_families(text if isinstance(text, str) else text.decode())
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return {name for name in names if not name.endswith("_created")}  # absent with several workers


def named_in(text: str) -> set[str]:
    return {PARTS.sub("", name) for name in re.findall(r"gpt_broker_[a-z_]+", text)}


@pytest.mark.parametrize("path", ["prometheus/alerts.yml", "prometheus/alerts_test.yml"])
def test_every_metric_of_a_rule_exists(path: str) -> None:
    """An alert on a misspelt metric never comes."""
    named = named_in((DEPLOY / path).read_text())
    assert len(named) > 5
    assert named <= measured()


def test_the_dashboards_show_every_metric_and_no_other() -> None:
    """Nothing is measured that nobody can see: a new metric needs a panel in deploy/grafana/dashboards.py."""
    for tenant in TENANTS:
        assert named_in(json.dumps(dashboard(tenant))) == measured()


@pytest.mark.parametrize("tenant", TENANTS)
def test_the_dashboards_are_as_they_are_made(tenant: str) -> None:
    """`python -m deploy.grafana.dashboards` was run after the last change; each panel has its place and its tenant."""
    text = (FOLDER / f"{tenant}.json").read_text()
    assert text == written(tenant)
    panels = json.loads(text)["panels"]
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all(f'tenant="{tenant}"' in target["expr"] for panel in panels for target in panel["targets"])


def test_every_alert_is_tested() -> None:
    """Both ways: that it comes, and that it stays away."""
    alerts = set(re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yml").read_text()))
    tests = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    quiet = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))
    loud = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests))
    assert len(alerts) > 8
    assert quiet == loud == alerts
