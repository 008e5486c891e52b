"""The signed-in user's usage and models. These requests do not count as calls."""

import json

from flask import Blueprint, current_app

from broker.errors.base import ModelNotFound
from broker.quota.budgets.usage_levels import Level
from broker.settings.prices import NANO
from broker.web import guards, request_context
from broker.web.error_handlers import JSON
from broker.web.flask_app import Response
from broker.web.services import services

blueprint = Blueprint("account", __name__)
blueprint.before_request(guards.signed_in)


@blueprint.get("/v1/usage")
def usage() -> Response:
    """Serve the user's calls, tokens and dollars of the day, the time of the reset, the plan, and any exemption."""
    usage = request_context.daily_usage()
    return _json(
        {
            "object": "usage",
            "limit": usage.calls.limit,
            "used": usage.calls.used,
            "remaining": usage.remaining_calls,
            "resets_at": guards.iso(usage.resets_at),
            "exempt": usage.exempt,
            "plan": usage.plan,
            "calls": _level(usage.calls) | {"remaining": usage.remaining_calls},
            "tokens": _level(usage.tokens),
            "dollars": _level(usage.spend, NANO),
        }
    )


def _level(level: Level, unit: int | None = None) -> dict[str, object]:
    """Return one limit, in units of `unit`; null if there is none."""
    values = {"limit": level.limit, "used": level.used, "reserved": level.reserved, "remaining": level.remaining}
    return {name: value / unit if unit and value is not None else value for name, value in values.items()}


@blueprint.get("/v1/models")
def models() -> Response:
    """List the models of the user's plan, in OpenAI's format."""
    return _json({"object": "list", "data": [_model(name) for name in _allowed()]})


@blueprint.get("/v1/models/<path:name>")
def model(name: str) -> Response:
    """Serve one model of the user's plan. Raises `ModelNotFound`."""
    if name not in _allowed():
        raise ModelNotFound
    return _json(_model(name))


def _allowed() -> list[str]:
    """Return the names in MODELS that the user's plan allows."""
    service = services()
    models = service.quota.limits_of(request_context.caller()).models
    return [name for name in service.settings.models if models is None or name in models]


def _model(name: str) -> dict[str, object]:
    """Return OpenAI's fields. `created` is unknown; `shutdown_date` is that of the model that serves the name."""
    service = services()
    served = str(service.settings.models[name]["model"])
    dates = {"shutdown_date": date} if (date := service.catalogue.shutdown_dates.get(served)) else {}
    known = {"id": name, "object": "model", "created": 0, "owned_by": "gpt-broker"}
    return {**known, "endpoints": _endpoints(), **dates}


def _endpoints() -> list[str]:
    """Return the paths that take a model's name in OpenAI's format. Every name of MODELS works with each."""
    rules = {rule.rule for rule in current_app.url_map.iter_rules()}
    return [path for path in ("/v1/chat/completions", "/v1/responses") if path in rules]


def _json(content: dict[str, object]) -> Response:
    return Response(json.dumps(content) + "\n", mimetype=JSON)
