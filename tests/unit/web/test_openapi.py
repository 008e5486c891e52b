"""The OpenAPI document is complete. integration/test_openapi.py checks it against a running broker."""

import json
import re
from typing import Any

import pytest
from jsonschema_rs import validator_for  # comes with schemathesis

from broker.openai.requests.chat_completions import IGNORED, PASSED_ON
from broker.openai.requests.responses_api import responses
from broker.web.openapi.answers import OPERATOR_CODES, faults
from tests.apps import bearer, make_app, make_client

OPEN = {"/health", "/ready", "/metrics", "/openapi.json"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    answer = make_client(MODELS='{"gpt-4o": "x", "gpt-4o-mini": "y", "tide": "z"}').get("/openapi.json")
    assert answer.status_code == 200
    return dict(answer.get_json())


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post"}
    }


def test_every_endpoint_is_in_it_and_no_other(document: dict[str, Any]) -> None:
    """The document equals the app's URL map."""
    served = {
        method + " " + re.sub(r"<(?:path:)?(.+?)>", r"{\1}", rule.rule)
        for rule in make_app().url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
    }
    assert set(operations(document)) == served


def test_every_fault_is_in_it(document: dict[str, Any]) -> None:
    """Each code is listed at an endpoint that may return it."""
    paths = json.dumps(document["paths"])
    codes = {kind.code for kind in faults() if kind.status != 499}
    assert {code for code in codes if f"`{code}`" not in paths} == set()
    assert not any(f"`{code}`" in paths for code in OPERATOR_CODES)


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    """All references are within the document."""
    references = set(re.findall(r'"\$ref": "#/components/(\w+)/([\w-]+)"', json.dumps(document)))
    assert len(references) > 10
    assert [(kind, name) for kind, name in references if name not in document["components"][kind]] == []


def test_all_but_the_open_endpoints_need_a_token(document: dict[str, Any]) -> None:
    """Each documents its 401 in the error format of its family."""
    for name, operation in operations(document).items():
        path = name.split()[1]
        if path in OPEN:
            assert operation["security"] == []
            continue
        schema = operation["responses"]["401"]["content"]["application/json"]["schema"]["$ref"]
        assert schema.endswith("/OpenAIError" if path.startswith("/v1/") else "/Error"), name


def test_the_parameters_are_those_that_are_passed_on(document: dict[str, Any]) -> None:
    """No others are listed; models and bound come from the settings."""
    request = document["components"]["schemas"]["ChatRequest"]
    assert set(request["properties"]) == PASSED_ON | IGNORED
    assert request["additionalProperties"] is False
    assert request["properties"]["model"] == {"enum": ["gpt-4o", "gpt-4o-mini", "tide"]}
    assert request["properties"]["max_completion_tokens"]["maximum"] == 16_384


def test_the_parameters_of_responses_are_those_that_are_passed_on(document: dict[str, Any]) -> None:
    """The replaced names of the user are listed as well."""
    request = document["components"]["schemas"]["ResponseRequest"]
    assert set(request["properties"]) == responses.PASSED_ON | responses.IGNORED
    assert request["additionalProperties"] is False


@pytest.mark.parametrize(
    ("path", "name"), [("/v1/usage", "Usage"), ("/v1/models/gpt-4o", "Model"), ("/ready", "Readiness")]
)
def test_an_answer_matches_its_schema(document: dict[str, Any], path: str, name: str) -> None:
    """Real answers are checked."""
    answer = make_client().get(path, headers=bearer())
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert validator_for(schema).is_valid(answer.get_json())
    assert not validator_for(schema).is_valid({})
