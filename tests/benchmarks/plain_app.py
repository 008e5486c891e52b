"""A minimal prototype that uses each library as its quick start shows.

Two of the broker's endpoints with token checks, counts in Redis and metrics, but none of the broker's
error handling.
"""

import datetime
import json
import os
from collections.abc import Iterator
from typing import Any

import jwt
import requests
from flask import Flask, Response, g, jsonify, request
from prometheus_flask_exporter import PrometheusMetrics
from redis import Redis

DAILY_LIMIT = 1_000_000_000
TWO_DAYS = 172_800  # seconds
TIMEOUT = (5, 60)  # seconds to connect and to read


def create_app() -> Flask:
    """Return the app. Its settings have the broker's names."""
    app, environ = Flask(__name__), os.environ
    PrometheusMetrics(app)
    session, redis = requests.Session(), Redis.from_url(environ["REDIS_URL"], max_connections=10_000)
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=10_000))
    session.headers["Authorization"] = f"Bearer {environ['OPENAI_API_KEY']}"
    keys = jwt.PyJWKClient(f"{environ['SUPABASE_URL']}/auth/v1/.well-known/jwks.json")
    url = f"{environ['OPENAI_BASE_URL']}/chat/completions"

    @app.before_request
    def sign_in_and_count() -> tuple[Response, int] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            key = keys.get_signing_key_from_jwt(token).key
            g.user = jwt.decode(token, key, algorithms=["ES256"], audience="authenticated")["sub"]
        except jwt.PyJWTError:
            return jsonify(error="Unauthorized"), 401
        with redis.pipeline() as pipe:
            name = f"calls:{g.user}:{datetime.datetime.now(datetime.UTC).date()}"
            used, _ = pipe.incr(name).expire(name, TWO_DAYS).execute()
        return (jsonify(error="Daily limit reached"), 429) if used > DAILY_LIMIT else None

    def ask(model: str, **more: Any) -> requests.Response:
        asked = request.get_json()
        body = {"model": model, "messages": asked["messages"], "temperature": asked.get("temperature", 0.7), **more}
        answer = session.post(url, json=body, timeout=TIMEOUT, stream="stream" in more)
        answer.raise_for_status()
        return answer

    @app.post("/v2/advanced-gpt-4o-mini-complete")
    def complete() -> Response:
        return jsonify(message=ask("gpt-4o-mini").json()["choices"][0]["message"]["content"])

    @app.post("/stream")
    def stream() -> Response:
        answer = ask(request.get_json()["model"], stream=True, stream_options={"include_usage": True})
        return Response(_lines(answer), mimetype="application/json")

    return app


def _lines(answer: requests.Response) -> Iterator[str]:
    for line in answer.iter_lines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            for choice in json.loads(line.removeprefix(b"data: "))["choices"]:
                if text := choice["delta"].get("content"):
                    yield json.dumps({"data": text}) + "\n"
