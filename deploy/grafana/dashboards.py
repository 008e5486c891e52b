"""The dashboard, with a variable for the tenant: `python -m deploy.grafana.dashboards` writes it to dashboards/.

A test runs every query on a real Prometheus.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "gpt-broker.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
START_TIME = 'gpt_broker_start_time_seconds{tenant="$tenant"}'
STARTS = f"max(changes(max without (revision) ({START_TIME})[15m:15s]))"
GRID, HEIGHT = 24, 8  # columns of the grid; height of a panel
Panel = dict[str, Any]


def panels() -> list[Panel]:
    """All panels, ordered from symptoms that users notice to causes."""
    return [
        graph("Requests by endpoint", "reqps", per_second("requests_total", "endpoint")),
        graph("Requests by status", "reqps", per_second("requests_total", "status_code")),
        graph("Refused to callers", "reqps", per_second("requests_total", "status_code", 'status_code=~"4.."')),
        graph(
            "401 by reason",
            "reqps",
            or_zero(per_second("sign_in_refusals_total", "reason")),
        ),
        graph("Time to first token", "s", *quantiles("time_to_first_token_seconds", 0.5, 0.95, 0.99)),
        graph("Whole streams", "s", *quantiles("stream_duration_seconds", 0.5, 0.95, 0.99)),
        graph("Whole requests, p95 by endpoint", "s", p95_by("request_duration_seconds", "endpoint")),
        graph("Streams and calls in flight", "short", value("streams_in_flight"), value("calls_in_flight")),
        graph("Tokens by model", "short", per_second("tokens_total", "model", label="{{model}} {{kind}}", by="kind")),
        graph("Over the daily limit", "reqps", per_second("quota_refusals_total")),
        graph("Reserved tokens by outcome", "short", per_second("budget_tokens_total", "state")),
        graph("Reserved dollars by outcome", "short", per_second("budget_dollars_total", "state")),
        graph("OpenAI's failures by kind", "reqps", per_second("upstream_failures_total", "kind")),
        graph("Retries at OpenAI by kind", "reqps", per_second("upstream_retries_total", "kind")),
        graph("Failed connections to OpenAI", "reqps", per_second("openai_connection_failures_total", "kind")),
        graph("Calls: admitted = settled + given back + lapsed + in flight", "reqps", *ledger()),
        graph(
            "Workers",
            "short",
            value("workers"),
            (window("increase", "worker_starts_total"), "started"),
            (window("increase", "worker_deaths_total"), "died"),
        ),
        graph("Parts (1: up)", "short", value("redis_up"), value("signing_keys_up"), value("counting_locally")),
        graph("Supabase's failures by kind", "reqps", or_zero(per_second("supabase_failures_total", "kind"))),
        graph("Redis' failures by kind", "reqps", or_zero(per_second("redis_failures_total", "kind"))),
        graph("Supabase's failures by kind", "reqps", or_zero(per_second("supabase_failures_total", "kind"))),
        graph("Spans sent to the collector, or dropped", "reqps", or_zero(per_second("spans_total", "outcome"))),
        graph("Background tasks restarted", "reqps", or_zero(per_second("background_restarts_total", "task"))),
        graph(
            "Starts", "short", (STARTS, "starts in 15 min"), (f"time() - max({START_TIME})", "seconds since the start")
        ),
        graph("Scrapes (1: answered)", "short", ('up{job="gpt-broker", tenant="$tenant"}', "up")),
    ]


def budgets() -> list[Panel]:
    """The row of the limits in tokens and money."""
    return [
        graph(
            "Today's spend of all users, and its limit",
            "currencyUSD",
            highest("tenant_spend_dollars"),
            highest("tenant_budget_dollars"),
        ),
        graph("Dollars an hour by model; estimated without usage", "currencyUSD", spend_an_hour()),
        graph("Refused, by limit of tokens or money", "reqps", over_limits("refused")),
        graph("Would be refused (BUDGETS=watch), by limit", "reqps", over_limits("watched")),
    ]


def over_limits(mode: str) -> tuple[str, str]:
    """Calls over a limit of tokens or money, refused or watched."""
    return or_zero(per_second("budget_refusals_total", "limit", f'mode="{mode}"'))


def ledger() -> list[tuple[str, str]]:
    """One query per final state of a reserved call."""
    names = ("admitted", "settled", "given_back", "lapsed")
    return [(window("rate", f"calls_{name}_total"), name.replace("_", " ")) for name in names]


def spend_an_hour() -> tuple[str, str]:
    """Dollars by model, at the current rate; the basis is OpenAI's usage or an estimate."""
    return f"3600 * sum by (model, basis) ({_over('rate', 'spend_dollars_total')})", "{{model}} by {{basis}}"


def highest(name: str) -> tuple[str, str]:
    """The highest value of a gauge over all replicas."""
    return f'max(gpt_broker_{name}{{tenant="$tenant"}})', name.replace("_", " ")


def value(name: str) -> tuple[str, str]:
    """The current value of a gauge."""
    return f'gpt_broker_{name}{{tenant="$tenant"}}', name.replace("_", " ")


def window(function: str, name: str, condition: str = "") -> str:
    """A counter's change, summed over all labels."""
    return f"sum({_over(function, name, condition)})"


def per_second(
    name: str, label_name: str = "", condition: str = "", *, label: str = "", by: str = ""
) -> tuple[str, str]:
    """A counter's rate by one or two labels, and the legend."""
    labels = ", ".join(filter(None, (label_name, by)))
    if not labels:
        return window("rate", name), name.removesuffix("_total").replace("_", " ")
    return f"sum by ({labels}) ({_over('rate', name, condition)})", label or f"{{{{{label_name}}}}}"


def or_zero(query: tuple[str, str]) -> tuple[str, str]:
    """A query of a counter that has no series before its first event."""
    return f"{query[0]} or vector(0)", query[1]


def quantiles(name: str, *shares: float) -> list[tuple[str, str]]:
    """One query per quantile of a histogram."""
    inner = f"sum by (le) ({_over('rate', name + '_bucket')})"
    return [(f"histogram_quantile({share}, {inner})", f"p{share * 100:g}") for share in shares]


def p95_by(name: str, label: str) -> tuple[str, str]:
    """The 95th percentile for each value of a label."""
    inner = f"sum by (le, {label}) ({_over('rate', name + '_bucket')})"
    return f"histogram_quantile(0.95, {inner})", f"{{{{{label}}}}}"


def _over(function: str, name: str, condition: str = "") -> str:
    where = ", ".join(filter(None, ('tenant="$tenant"', condition)))
    return f"{function}(gpt_broker_{name}{{{where}}}[$__rate_interval])"


def graph(title: str, unit: str, *queries: tuple[str, str]) -> Panel:
    """A time series panel."""
    return {
        "title": title,
        "type": "timeseries",
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
            for index, (expression, legend) in enumerate(queries)
        ],
    }


def dashboard() -> dict[str, Any]:
    """The JSON model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/."""
    placed = [*in_columns(budgets(), 4), *in_columns(panels(), 3, below=1)]
    return {
        "uid": "gpt-broker",
        "title": "GPT Broker",
        "tags": ["gpt-broker"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [tenant_variable()]},
        "annotations": {"list": [deployments()]},
        "panels": [{**panel, "id": number} for number, panel in enumerate(placed, 1)],
    }


def in_columns(row: list[Panel], columns: int, below: int = 0) -> list[Panel]:
    """Place panels in so many columns, under `below` rows."""
    width = GRID // columns
    return [
        {
            **panel,
            "gridPos": {
                "x": index % columns * width,
                "y": (index // columns + below) * HEIGHT,
                "w": width,
                "h": HEIGHT,
            },
        }
        for index, panel in enumerate(row)
    ]


def deployments() -> dict[str, Any]:
    """A line in every panel where a commit appears that did not run five minutes before."""
    return {
        "name": "Deployments",
        "enable": True,
        "iconColor": "blue",
        "datasource": SOURCE,
        "expr": f"count by (revision) ({START_TIME}) unless count by (revision) ({START_TIME} offset 5m)",
        "titleFormat": "{{revision}}",
    }


def tenant_variable() -> dict[str, Any]:
    """The variable that selects the tenant, filled from Prometheus' labels."""
    query = 'label_values(up{job="gpt-broker"}, tenant)'
    return {
        "name": "tenant",
        "label": "Tenant",
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 1,
        "sort": 1,
    }


def rendered() -> str:
    """The text of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(rendered())


if __name__ == "__main__":
    main()
