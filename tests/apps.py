"""Apps for unit tests: the real `create_app` on an embedded store; `responses` mocks OpenAI and Supabase."""

import time
import uuid
from typing import Any

import fakeredis
import jwt
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from broker.app import create_app
from broker.settings.settings import Settings

SECRET = "a-secret-of-the-project-with-more-than-32-characters"
OPENAI = "http://openai.invalid/v1"
REQUIRED = {
    "OPENAI_API_KEY": "sk-planted-key-0123456789",
    "OPENAI_BASE_URL": OPENAI,
    "OPENAI_MAX_RETRIES": "0",
    "SUPABASE_URL": "http://supabase.invalid",
    "SUPABASE_SERVICE_KEY": "sb_secret_planted",
    "SUPABASE_JWT_SECRET": SECRET,
}


def make_app(redis: fakeredis.FakeRedis | None = None, **environ: str) -> Flask:
    """Return an app with these settings changed."""
    store = redis or fakeredis.FakeRedis(server=fakeredis.FakeServer())
    return create_app(Settings.from_environ(REQUIRED | environ), redis=store)


class Client(FlaskClient):
    """Reads each response to its end and closes it, as a server does, unless `buffered=False`."""

    def open(self, *args: Any, buffered: bool = True, **kwargs: Any) -> TestResponse:
        """Return the app's response."""
        return super().open(*args, buffered=buffered, **kwargs)


def make_client(redis: fakeredis.FakeRedis | None = None, **environ: str) -> FlaskClient:
    """Return a client of such an app."""
    app = make_app(redis, **environ)
    app.test_client_class = Client
    return app.test_client()


def token(sub: str | None = None, **changes: Any) -> str:
    """Return an access token of this user or of a new one."""
    claims = {
        "iss": REQUIRED["SUPABASE_URL"] + "/auth/v1",
        "aud": "authenticated",
        "role": "authenticated",
        "sub": sub or str(uuid.uuid4()),
        "exp": int(time.time()) + 3600,
    } | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, "HS256")


def bearer(sub: str | None = None, **changes: Any) -> dict[str, str]:
    """Return the header that carries such a token."""
    return {"Authorization": f"Bearer {token(sub, **changes)}"}
