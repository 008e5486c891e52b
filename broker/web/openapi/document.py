"""The document as a whole: https://spec.openapis.org/oas/v3.1.1.html. Pure."""

from collections.abc import Collection

from broker.web.openapi import answers, paths, schemas

DESCRIPTION = """OpenAI's chat completions for the users of a web app, who sign in with Supabase.

Every call carries the user's Supabase access token: `Authorization: Bearer <token>`. A user has so many calls per UTC
day; one call is one answer that OpenAI began to give, and refused, invalid and failed requests cost nothing. What is
under `/v1` speaks OpenAI's wire format, errors included, so that OpenAI's SDKs work with the access token as API key.
"""


def document(models: Collection[str], most_tokens: int) -> dict[str, object]:
    """The description of a broker that serves these models, with answers of at most so many tokens."""
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
