"""JSON Schemas of the custom resources that the chart uses; Kubernetes' own schemas lack them.

Sources: gateway-api.sigs.k8s.io/reference/spec, prometheus-operator.dev/docs/api-reference, keda.sh/docs (ScaledObject
specification), external-secrets.io/latest/api/externalsecret. Unknown members are errors, as in strict validation.
"""

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|h|m|s))+$"}


def of(required: str = "", **properties: Schema) -> Schema:
    """Return the schema of an object with these members; `required` names the mandatory ones."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def many(items: Schema) -> Schema:
    """Return the schema of a list with at least one item."""
    return {"type": "array", "minItems": 1, "items": items}


PATH_MATCH = of("path", path=of("type value", type={"enum": ["Exact", "PathPrefix"]}, value=TEXT))
REWRITE = of("path", path=of("type", type={"const": "ReplaceFullPath"}, replaceFullPath=TEXT))
HTTP_ROUTE = of(
    "parentRefs rules",
    parentRefs=many(of("name", name=TEXT, namespace=TEXT, sectionName=TEXT)),
    hostnames=many(
        {"type": "string", "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"}
    ),
    rules=many(
        of(
            "matches backendRefs",
            matches=many(PATH_MATCH),
            filters=many(of("type urlRewrite", type={"const": "URLRewrite"}, urlRewrite=REWRITE)),
            timeouts=of(request=DURATION, backendRequest=DURATION),
            backendRefs=many(of("name port", name=TEXT, port=COUNT)),
        )
    ),
)
RELABELING = of("action targetLabel", action=TEXT, targetLabel=TEXT, replacement=TEXT)
POD_MONITOR = of(
    "selector podMetricsEndpoints",
    selector=of("matchLabels", matchLabels=LABELS),
    podMetricsEndpoints=many(of("port", port=TEXT, path=TEXT, interval=DURATION, relabelings=many(RELABELING))),
)
ALERT: Schema = {
    "type": "object",
    "oneOf": [{"required": ["alert", "expr"]}, {"required": ["record", "expr"]}],
    "properties": {
        "alert": TEXT, "record": TEXT, "expr": TEXT, "for": DURATION, "labels": LABELS, "annotations": LABELS,
    },
    "additionalProperties": False,
}  # fmt: skip
PROMETHEUS_RULE = of("groups", groups=many(of("name rules", name=TEXT, interval=DURATION, rules=many(ALERT))))
TRIGGER = of("type metadata", type=TEXT, metricType={"enum": ["Utilization", "AverageValue"]}, metadata=LABELS)
SCALED_OBJECT = of(
    "scaleTargetRef triggers",
    scaleTargetRef=of("name", apiVersion=TEXT, kind=TEXT, name=TEXT),
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    fallback=of("failureThreshold replicas", failureThreshold=COUNT, replicas=COUNT, behavior=TEXT),
    advanced=of(horizontalPodAutoscalerConfig=of(behavior={"type": "object"})),
    triggers=many(TRIGGER),
)
EXTERNAL_SECRET = of(
    "secretStoreRef target",
    refreshInterval=DURATION,
    secretStoreRef=of("name kind", name=TEXT, kind={"enum": ["ClusterSecretStore", "SecretStore"]}),
    target=of("name", name=TEXT, creationPolicy={"enum": ["Owner", "Orphan", "Merge", "None"]}),
    dataFrom=many(of("extract", extract=of("key", key=TEXT))),
)
SPECS: dict[tuple[str, str], Schema] = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTP_ROUTE,
    ("monitoring.coreos.com/v1", "PodMonitor"): POD_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PROMETHEUS_RULE,
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
    ("external-secrets.io/v1", "ExternalSecret"): EXTERNAL_SECRET,
}
