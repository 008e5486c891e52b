"""The OpenAPI document: https://spec.openapis.org/oas/v3.1.1.html. Pure."""

from collections.abc import Collection

from broker.web.openapi import answers, paths, schemas

DESCRIPTION = """OpenAI's chat completions for the users of a web app, who sign in with Supabase.

Every call carries the user's Supabase access token: `Authorization: Bearer <token>`. The number of calls per user and
UTC day is limited. One call is one answer that OpenAI began to give; refused, invalid and failed requests cost nothing.
Endpoints under `/v1` use OpenAI's format, errors included, so that OpenAI's SDKs work with the access token as API key.
"""


def document(models: Collection[str], most_tokens: int) -> dict[str, object]:
    """The document of a broker that serves `models` and limits an answer to `most_tokens` tokens."""
    return {
        "openapi": "3.1.1",
        "info": {"title": "GPT Broker", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths.all_paths(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "headers": answers.HEADERS,
            "schemas": schemas.all_schemas(models, most_tokens),
        },
    }
