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
from deploy.grafana.dashboards import FILE, dashboard, rendered

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


def test_every_alert_is_caused_for_real() -> None:
    """The container tests wait until Prometheus fires it: add a cause there for a new alert."""
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    text = (DEPLOY.parent / "tests" / "containers" / "test_04_monitoring.py").read_text()
    awaited = {name for call in re.findall(r"await_firing\((.*?)\)", text) for name in re.findall(r'"(\w+)"', call)}
    assert len(alerts) > 10
    assert alerts <= awaited


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    """Every metric has a panel: add one to deploy/grafana/dashboards.py for a new metric."""
    assert named_in(json.dumps(dashboard())) == measured()


def test_the_dashboard_file_is_up_to_date() -> None:
    """`python -m deploy.grafana.dashboards` was run after the last change; every query selects the tenant."""
    text = FILE.read_text()
    assert text == rendered()
    panels = json.loads(text)["panels"]
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert all('tenant="$tenant"' in target["expr"] for panel in panels for target in panel["targets"])


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


def test_grafana_knows_every_field_and_unit_of_the_dashboard() -> None:
    """Grafana ignores unknown fields silently: a panel would look different or be empty."""
    text = FILE.read_text()
    of_prometheus = [".annotations.list[0].titleFormat"]  # the schema leaves the data source's own fields open
    assert unknown_to_grafana(text) == of_prometheus
    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in json.loads(text)["panels"]} <= known
    for field in ("refresh", "gridPos", "fieldConfig", "fillOpacity", "unit", "legendFormat", "expr", "uid"):
        assert len(unknown_to_grafana(text.replace(f'"{field}"', f'"{field}s"'))) > len(of_prometheus), field


def test_the_provisioning_of_grafana_is_consistent() -> None:
    """The data source points at Prometheus in the same network; the provider reads the mounted folder."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "gpt-broker.yaml").read_text())["providers"]
    services = yaml.safe_load((DEPLOY / "monitoring.yaml").read_text())["services"]
    assert source["url"] == f"http://prometheus:{services['prometheus']['ports'][0].rpartition(':')[2]}"
    assert services["grafana"]["networks"] == services["prometheus"]["networks"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert provider["options"]["path"] == mounts["grafana-config"] + "/dashboards"
    assert services["grafana"]["environment"]["GF_PATHS_PROVISIONING"] == mounts["grafana-config"] + "/provisioning"


def test_the_budgets_have_a_row_of_the_dashboard() -> None:
    """Spend against the limit, spend by model, refusals, and refusals that BUDGETS=watch only counts."""
    row = [panel for panel in dashboard()["panels"] if panel["gridPos"]["y"] == 0]
    queries = [" ".join(target["expr"] for target in panel["targets"]) for panel in row]
    parts = (
        "tenant_spend_dollars tenant_budget_dollars",
        "spend_dollars_total model",
        "refused limit",
        "watched limit",
    )
    assert len(row) == len(parts)
    for query, wanted in zip(queries, parts, strict=True):
        assert all(word in query for word in wanted.split()), query
    assert sum(panel["gridPos"]["w"] for panel in row) == 24
