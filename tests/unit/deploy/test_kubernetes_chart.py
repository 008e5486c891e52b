"""The Helm chart renders valid and hardened objects that agree with the single-host deployment."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from helm_python import HelmError, chart

from broker.settings.settings import Settings
from deploy.kubernetes import settings_schema
from tests.apps import REQUIRED
from tests.benchmarks.capacity import Costs
from tests.benchmarks.rounds import Rounds
from tests.unit.deploy.custom_resources import SPECS

CHART = Path(__file__).parents[3] / "deploy" / "kubernetes"
DEPLOY = CHART.parent
RELEASES = ("1.35.0", "1.36.0", "1.37.0")  # the three newest that kubernetes-validate knows
Object = dict[str, Any]
LEAST = {"image": {"tag": "0123456789ab"}, "secrets": {"existing": "sksndev-broker"}}
GATEWAY = {
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateway"}]},
    "host": "gpt.example.com",
}
VALUES: dict[str, Object] = {
    "least": LEAST,
    "gateway": LEAST | GATEWAY,
    "ingress": LEAST | {"ingress": {"enabled": True}, "host": "gpt.example.com"},
    "keda": LEAST | {"autoscaling": {"mode": "keda"}},
    "fixed": LEAST | {"autoscaling": {"mode": "none"}, "replicas": 3, "workers": 1, "deletionCost": {"enabled": False}},
    "external secret": {
        "image": {"tag": "0123456789ab"},
        "secrets": {"external": {"enabled": True, "key": "tenants/sksndev", "store": {"name": "vault"}}},
    },
    "other tenant": LEAST
    | {
        "tenant": "techsksn",
        "settings": {"DAILY_LIMIT": 100, "DAILY_SPEND": 0.5, "ID_WHITE_LIST": ["a"], "PLAYGROUND": True},
    },
}


def rendered(values: Object, release: str = "sksndev") -> list[Object]:
    """The objects of a release."""
    texts = chart.Chart.load(CHART).render(values, name=release, namespace="apps")
    return [one for text in texts.values() for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[Object], kind: str) -> Object:
    """Return the one object of this kind; the broker's own is preferred."""
    found = [one for one in objects if one["kind"] == kind]
    assert found, f"no {kind}"
    return found[0]


def pods(objects: list[Object]) -> Iterator[Object]:
    for one in objects:
        if one["kind"] == "Deployment":
            yield one["spec"]["template"]
        if one["kind"] == "CronJob":
            yield one["spec"]["jobTemplate"]["spec"]["template"]


def broker_pod(objects: list[Object]) -> Object:
    pod: Object = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    return pod


@pytest.fixture(params=list(VALUES.values()), ids=list(VALUES), scope="module")
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return rendered(request.param)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
def test_helm_reports_no_problem(values: Object) -> None:
    """`helm lint --strict` passes for every kind of values."""
    report = chart.lint(str(CHART), values, strict=True)

    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


@pytest.mark.parametrize("version", RELEASES)
def test_every_object_is_valid_in_the_newest_releases(objects: list[Object], version: str) -> None:
    """Each object passes Kubernetes' own schemas, without unknown members, or its custom resource's."""
    for one in objects:
        spec = SPECS.get((one["apiVersion"], one["kind"]))
        if spec is None:
            kubernetes_validate.validate(one, version, strict=True)
        else:
            jsonschema.validate(one["spec"], spec)


def test_the_releases_are_the_newest_three() -> None:
    """RELEASES holds the newest releases that kubernetes-validate knows."""
    assert kubernetes_validate.latest_version() == RELEASES[-1]


def test_every_container_is_hardened(objects: list[Object]) -> None:
    """A container has no root, capability, writable file system or unused token, and has resource limits."""
    for pod in pods(objects):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is ("serviceAccountName" in spec)
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]) == {"requests", "limits"}
            assert all({"cpu", "memory"} <= set(one) for one in container["resources"].values())
            assert re.search(r":[^:/]+$", container["image"])
            assert not container["image"].endswith(":latest")
            assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
        assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"])


def test_every_object_carries_the_recommended_labels(objects: list[Object]) -> None:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ lists them."""
    for one in [*objects, *pods(objects)]:
        labels = one["metadata"]["labels"]
        assert {
            f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")
        } <= set(labels)


@pytest.mark.parametrize(
    "release", ["a" * 31, "a" * 53]
)  # the longest tenant of deploy/tenants, Helm's longest release
def test_a_long_name_is_no_mistake(release: str) -> None:
    """Kubernetes adds 11 characters to the name of a CronJob, and refuses one of more than 52."""
    lengths = {one["kind"]: len(one["metadata"]["name"]) for one in rendered(LEAST, release)}
    assert lengths["CronJob"] <= 52
    assert max(lengths.values()) <= 63


def test_the_selectors_find_the_pods(objects: list[Object]) -> None:
    """Service, budget, policy and monitor select the broker's pods and no others."""
    broker = of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        of_kind(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        of_kind(objects, "Service")["spec"]["selector"],
        of_kind(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        of_kind(objects, "PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    others = [pod["metadata"]["labels"] for pod in pods(objects) if pod["metadata"]["labels"] != broker]

    for selector in selectors:
        assert selector.items() <= broker.items()
        assert not any(selector.items() <= other.items() for other in others)


def test_each_probe_checks_its_own_condition(objects: list[Object]) -> None:
    """A pod starts when its dependencies answer; later only its own state counts, so clients see its 503s."""
    container = broker_pod(objects)["containers"][0]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}

    assert asked == {"startup": "/ready", "readiness": "/health", "liveness": "/health"}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 30  # gunicorn's own time-out acts first


def test_no_stream_is_cut_when_a_pod_ends(objects: list[Object]) -> None:
    """The grace period covers the gateways' delay, the longest call and the worker's shutdown."""
    pod = broker_pod(objects)
    wait = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    graceful = int(of_kind(objects, "ConfigMap")["data"]["GRACEFUL_TIMEOUT"])
    longest = Settings.from_environ(REQUIRED).openai_call_timeout

    assert graceful >= longest
    assert pod["terminationGracePeriodSeconds"] >= wait + graceful + 10
    strategy = of_kind(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0


def test_a_worker_is_replaced_before_the_kernel_kills_the_pod(objects: list[Object]) -> None:
    """The watchdog's limit, for all workers, is below the pod's."""
    container = broker_pod(objects)["containers"][0]
    workers = int({one["name"]: one.get("value") for one in container["env"]}["WEB_CONCURRENCY"])
    limits = container["resources"]["limits"]

    assert limits["cpu"] == f"{workers * 1000}m"
    share = int(limits["memory"].removesuffix("Mi")) * 1024 * 1024 / workers
    assert int(of_kind(objects, "ConfigMap")["data"]["WORKER_MAX_RSS"]) < 0.8 * share


def test_a_scale_down_waits_for_the_longest_call(objects: list[Object]) -> None:
    """A dip of some minutes ends no pod."""
    for one in objects:
        spec = one.get("spec", {})
        config = spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", spec)
        behavior = config.get("behavior")
        if behavior:
            assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 600
            assert behavior["scaleDown"]["selectPolicy"] == "Min"
            assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_resources_follow_the_measured_figures(objects: list[Object]) -> None:
    """A pod that is as full as the autoscaler lets it be stays below the limit at which a worker is replaced."""
    costs = Costs.of(Rounds.load())
    container = broker_pod(objects)["containers"][0]
    workers = int({one["name"]: one.get("value") for one in container["env"]}["WEB_CONCURRENCY"])
    full = 1.5 * yaml.safe_load((CHART / "values.yaml").read_text())["autoscaling"]["streamsPerPod"]
    megabytes = costs.worker_mb + full / workers * costs.stream_kb / 1024

    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert megabytes * 1024 * 1024 < int(of_kind(objects, "ConfigMap")["data"]["WORKER_MAX_RSS"])


def test_pods_are_spread_and_few_are_disturbed_at_once(objects: list[Object]) -> None:
    """Over zones and nodes; pods of the release before do not count. A drained node takes one pod at a time."""
    spread = broker_pod(objects)["topologySpreadConstraints"]
    labels = of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]

    assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(one["matchLabelKeys"] == ["pod-template-hash"] and one["maxSkew"] == 1 for one in spread)
    assert all(one["labelSelector"]["matchLabels"].items() <= labels.items() for one in spread)
    assert of_kind(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_more_streams_or_more_work_start_more_pods() -> None:
    """By the HorizontalPodAutoscaler or by KEDA, for the same reasons; the metric is one that the broker has."""
    hpa = of_kind(rendered(VALUES["least"]), "HorizontalPodAutoscaler")["spec"]
    keda = of_kind(rendered(VALUES["keda"]), "ScaledObject")["spec"]
    streams, processor = hpa["metrics"]
    from_prometheus, from_processor = keda["triggers"]
    metric, target = streams["pods"]["metric"]["name"], streams["pods"]["target"]["averageValue"]

    assert metric == "gpt_broker_streams_in_flight"
    assert '"streams_in_flight"' in (CHART.parents[1] / "broker" / "telemetry" / "metrics.py").read_text()
    assert f'sum({metric}{{tenant="sksndev"}})' == from_prometheus["metadata"]["query"]
    assert from_prometheus["metadata"]["threshold"] == target
    assert from_processor["metadata"]["value"] == str(processor["resource"]["target"]["averageUtilization"])
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (keda["minReplicaCount"], keda["maxReplicaCount"])
    assert hpa["minReplicas"] >= 2
    assert hpa["behavior"] == keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert not [one for one in rendered(VALUES["fixed"]) if one["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}]


def test_the_network_policy_names_the_peers_of_both_directions(objects: list[Object]) -> None:
    """In: the gateway, Prometheus and the CronJob, to the broker's port. Out: names, public HTTPS, Redis."""
    policy = of_kind(objects, "NetworkPolicy")["spec"]
    (into,) = policy["ingress"]
    names, https, redis = policy["egress"]
    public = https["to"][0]["ipBlock"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    peers = [
        one["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for one in into["from"]
        if "namespaceSelector" in one
    ]
    jobs = [pod["metadata"]["labels"] for pod in pods(objects) if "serviceAccountName" in pod["spec"]]
    selectors = [one["podSelector"]["matchLabels"] for one in into["from"] if "namespaceSelector" not in one]
    assert len(selectors) == len(jobs)
    assert all(selector.items() <= labels.items() for selector, labels in zip(selectors, jobs, strict=True))
    assert (peers, into["ports"]) == (["gateway", "monitoring"], [{"protocol": "TCP", "port": "http"}])
    assert ("to" in names, {one["port"] for one in names["ports"]}) == (False, {53})
    assert [one["port"] for one in https["ports"]] == [443]
    assert public["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(public["except"])
    assert redis["to"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "redis"}
    assert [one["port"] for one in redis["ports"]] == [6379]


def test_secrets_come_from_a_secret_that_exists_or_from_an_external_one() -> None:
    """The pod reads the one that is named, or the one that the ExternalSecret makes."""
    objects = rendered(VALUES["external secret"])
    external = of_kind(objects, "ExternalSecret")["spec"]
    sources = [broker_pod(some)["containers"][0]["envFrom"] for some in (rendered(LEAST), objects)]
    named = [[one["secretRef"]["name"] for one in some if "secretRef" in one] for some in sources]

    assert named == [["sksndev-broker"], [external["target"]["name"]]]
    assert external["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert external["dataFrom"] == [{"extract": {"key": "tenants/sksndev"}}]
    assert not [one for one in objects if one["kind"] == "Secret"]


@pytest.mark.parametrize("mode", ["gateway", "ingress"])
def test_the_public_reaches_neither_metrics_nor_ready(mode: str) -> None:
    """Both lead to a path or Service that does not exist; all other paths lead to the broker."""
    objects = rendered(VALUES[mode])
    if mode == "gateway":
        closed, open_ = of_kind(objects, "HTTPRoute")["spec"]["rules"]
        assert [match["path"]["value"] for match in closed["matches"]] == ["/metrics", "/ready"]
        assert closed["filters"][0]["urlRewrite"]["path"]["replaceFullPath"] == "/closed"
        assert [match["path"]["value"] for match in open_["matches"]] == ["/"]
    else:
        paths = of_kind(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"]
        led = {path["path"]: path["backend"]["service"]["name"] for path in paths}
        nobody = [one for one in objects if one["kind"] == "Service" and "selector" not in one["spec"]]
        assert led["/metrics"] == led["/ready"] == nobody[0]["metadata"]["name"]
        assert led["/"] == of_kind(objects, "Service")["metadata"]["name"]


def test_gateways_wait_as_long_as_a_call_may_last() -> None:
    """Gateways wait longer than OPENAI_CALL_TIMEOUT, so that clients see the broker's own 504."""
    longest = Settings.from_environ(REQUIRED).openai_call_timeout
    route = of_kind(rendered(VALUES["gateway"]), "HTTPRoute")["spec"]["rules"][1]["timeouts"]
    annotations = of_kind(rendered(VALUES["ingress"]), "Ingress")["metadata"]["annotations"]

    assert int(route["request"].removesuffix("s")) > longest
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > longest
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


def test_alerts_and_dashboard_are_those_of_the_single_host() -> None:
    """Both deployments use the same file."""
    objects = rendered(VALUES["other tenant"])
    alerts = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    monitor = of_kind(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]
    dashboards = [one for one in objects if one["metadata"]["name"].endswith("-dashboard")]
    (name, text), *others = dashboards[0]["data"].items()

    assert of_kind(objects, "PrometheusRule")["spec"] == alerts
    labels = {one["targetLabel"]: one["replacement"] for one in monitor["relabelings"]}
    assert labels == {"job": "gpt-broker", "tenant": "techsksn"}
    assert (name, others) == ("techsksn.json", [])
    assert 'tenant="techsksn"' in str(json.loads(text))
    assert "sksndev" not in text


def test_settings_reach_the_broker_as_it_reads_them() -> None:
    """Numbers, lists and flags of the values file become texts that the settings' parsers accept."""
    data = of_kind(rendered(VALUES["other tenant"]), "ConfigMap")["data"]
    settings = Settings.from_environ(
        REQUIRED | {name: value for name, value in data.items() if name != "ID_WHITE_LIST"}
    )

    assert settings.daily_limit == 100
    assert settings.daily_spend == 500_000_000  # nano-dollars
    assert data["WORKER_MAX_RSS"] == "402653184"
    assert settings.playground is True
    assert json.loads(data["ID_WHITE_LIST"]) == ["a"]


def test_a_changed_setting_replaces_the_pods() -> None:
    """The pod template carries the settings' digest."""
    first, second = (
        of_kind(rendered(LEAST | {"settings": {"DAILY_LIMIT": limit}}), "Deployment")["spec"]["template"]["metadata"]
        for limit in (50, 51)
    )
    assert first["annotations"] != second["annotations"]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"secrets": {"existing": "s"}}, "image.tag"),
        ({"image": {"tag": "latest"}, "secrets": {"existing": "s"}}, "tag"),
        ({"image": {"tag": "a"}}, "secrets.existing"),
        (LEAST | {"settings": {"DAILY_LIMT": 5}}, "DAILY_LIMT"),
        (LEAST | {"settings": {"OPENAI_API_KEY": "sk-planted"}}, "OPENAI_API_KEY"),
        (LEAST | {"workres": 3}, "workres"),
        (LEAST | {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}, "host"),
    ],
)
def test_a_mistake_in_the_values_is_named(values: Object, word: str) -> None:
    """Helm stops before it changes anything. A secret among the settings is a mistake too."""
    with pytest.raises(HelmError, match=re.escape(word)) as told:
        rendered(values)
    assert "planted" not in str(told.value)


def test_the_schema_names_every_setting() -> None:
    """`python -m deploy.kubernetes.settings_schema` was run after the last change of the settings."""
    assert settings_schema.FILE.read_text() == settings_schema.written()
    assert "DAILY_LIMIT" in settings_schema.names()
    assert not {"OPENAI_API_KEY", "REDIS_URL", "PORT"} & set(settings_schema.names())


def test_a_collector_in_the_cluster_may_be_reached_if_it_is_named() -> None:
    """Otherwise the policy has no rule for it."""
    peer = {"podSelector": {"matchLabels": {"app": "collector"}}}
    named = rendered(LEAST | {"networkPolicy": {"collector": {"to": [peer], "port": 4318}}})
    rule = {"to": [peer], "ports": [{"protocol": "TCP", "port": 4318}]}
    assert rule in of_kind(named, "NetworkPolicy")["spec"]["egress"]
    assert "4318" not in str(of_kind(rendered(LEAST), "NetworkPolicy"))
