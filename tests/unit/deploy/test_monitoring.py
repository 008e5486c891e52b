"""Alerts and dashboards use the metrics that the broker exposes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from broker.telemetry.metrics import Metrics
from deploy.grafana.dashboards import FOLDER, TENANTS, dashboard, written

DEPLOY = Path(__file__).parents[3] / "deploy"
SUFFIXES = re.compile(r"_(bucket|sum|count)$")


def measured() -> set[str]:
    """The metric names that the broker exposes, as Prometheus names them."""
    text = Metrics().exposition(None)[0]
    families = text_string_to_metric_families(text if isinstance(text, str) else text.decode())
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return {name for name in names if not name.endswith("_created")}  # absent with several workers


def named_in(text: str) -> set[str]:
    return {SUFFIXES.sub("", name) for name in re.findall(r"gpt_broker_[a-z_]+", text)}


@pytest.mark.parametrize("path", ["prometheus/alerts.yml", "prometheus/alerts_test.yml"])
def test_every_metric_of_a_rule_exists(path: str) -> None:
    """An alert on a misspelt metric would never fire."""
    named = named_in((DEPLOY / path).read_text())
    assert len(named) > 5
    assert named <= measured()


def test_the_dashboards_show_every_metric_and_no_other() -> None:
    """Every metric has a panel: add one to deploy/grafana/dashboards.py for a new metric."""
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


def differences(given: object, understood: object, where: str = "") -> Iterator[str]:
    """Yield the paths at which `understood` lacks what `given` has."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            yield from differences(value, understood.get(name), f"{where}.{name}")
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for index, value in enumerate(given):
            yield from differences(value, understood[index], f"{where}[{index}]")
    elif given != understood:
        yield where


def unknown_to_grafana(text: str) -> list[str]:
    """The paths that Grafana's dashboard model, generated from its schema, does not know."""
    register_default_plugins()
    understood = json.dumps(Dashboard.from_json(json.loads(text)), cls=JSONEncoder)
    return list(differences(json.loads(text), json.loads(understood)))


@pytest.mark.parametrize("tenant", TENANTS)
def test_grafana_knows_every_field_and_unit_of_the_dashboards(tenant: str) -> None:
    """Grafana ignores unknown fields silently: a panel would look different or be empty."""
    text = (FOLDER / f"{tenant}.json").read_text()
    assert unknown_to_grafana(text) == []
    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in json.loads(text)["panels"]} <= known
    for field in ("refresh", "gridPos", "fieldConfig", "fillOpacity", "unit", "legendFormat", "expr", "uid"):
        assert unknown_to_grafana(text.replace(f'"{field}"', f'"{field}s"', 1)), field


def test_what_grafana_is_provisioned_with_fits_together() -> None:
    """The data source points at Prometheus in the same network; the provider reads the mounted folder."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "gpt-broker.yaml").read_text())["providers"]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['ports'][0].rpartition(':')[2]}"
    assert set(services["grafana"]["networks"]) & set(services["prometheus"]["networks"])
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in services["grafana"]["volumes"]
    for tenant in TENANTS:
        for panel in dashboard(tenant)["panels"]:
            named = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(one == {"type": source["type"], "uid": source["uid"]} for one in named)


def test_every_alert_is_tested() -> None:
    """Both ways: that it comes, and that it stays away."""
    alerts = set(re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus" / "alerts.yml").read_text()))
    tests = (DEPLOY / "prometheus" / "alerts_test.yml").read_text()
    quiet = set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests))
    loud = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", tests))
    assert len(alerts) > 8
    assert quiet == loud == alerts
