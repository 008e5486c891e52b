"""A stand-in for Supabase Auth: `python -m deploy.local.supabase_auth --port 9102`.

Response bodies follow https://github.com/supabase/auth. Three users exist at the start.
"""

import argparse
import time
import uuid
from collections import Counter
from typing import Any

import jwt

from deploy.local.exchange import Exchange, Request
from deploy.local.http_server import Server
from deploy.local.signing import KeyRing

PASSWORD = "correct horse battery staple"
CAST = {
    "ada@example.com": "11111111-1111-4111-8111-111111111111",
    "grace@example.com": "22222222-2222-4222-8222-222222222222",
    "linus@example.com": "33333333-3333-4333-8333-333333333333",
}
LIFETIME = 3600  # seconds
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "*, authorization, apikey, content-type, x-client-info, x-supabase-api-version",
    "access-control-expose-headers": "x-sb-error-code",
}
GATEWAY: dict[str, tuple[int, object]] = {  # behaviours of what stands in front of Supabase Auth
    "key disabled": (401, {"message": "Legacy API keys are disabled", "hint": "use a secret key"}),
    "key unknown": (401, {"message": "Invalid API key"}),
    "page": (401, b"<html>sign in to the network"),
    "firewall": (403, b"<html>blocked"),
    "maintenance": (200, {"message": "We are back soon"}),
}
User = dict[str, Any]


class SupabaseStandIn(Server):
    """One Supabase project: users, signing keys and a selectable behaviour."""

    def __init__(self, port: int = 0, *, alg: str = "HS256") -> None:
        """`alg`: the algorithm that signs new tokens."""
        super().__init__(port)
        self.keys = KeyRing(alg)
        self.anon_key = jwt.encode(_api_claims("anon"), self.keys.secret, "HS256")
        self.service_key = jwt.encode(_api_claims("service_role"), self.keys.secret, "HS256")
        self.requests: Counter[str] = Counter()
        self.behaviour = "well"  # or silent, slow, failing, garbage, one of GATEWAY
        self.users = {email: _user(user_id, email) for email, user_id in CAST.items()}
        self.signed_out: set[str] = set()
        self._refresh_tokens: dict[str, User] = {}

    @property
    def issuer(self) -> str:
        """The `iss` claim of the tokens."""
        return f"{self.url}/auth/v1"

    def token(self, email: str = "ada@example.com", expires_in: float = LIFETIME, **changes: Any) -> str:
        """An access token of this user. `changes` replace claims; None removes one."""
        claims = _claims(self.users[email], self.issuer, expires_in) | changes
        return self.keys.sign({name: value for name, value in claims.items() if value is not None})

    def token_for(self, user_id: str, **changes: Any) -> str:
        """An access token for any user id."""
        return self.token(**({"sub": user_id} | changes))

    async def handle(self, exchange: Exchange) -> None:
        """Route one request."""
        request = exchange.request
        path = request.path.removeprefix("/auth/v1")
        self.requests[path] += 1
        if request.path.startswith("/stand-in/"):
            self._control(exchange)
        elif request.method == "OPTIONS":
            exchange.reply(200, b"", CORS)
        elif self.behaviour == "silent":
            await exchange.left.wait()
        elif self.behaviour == "failing":
            exchange.reply(500, {"code": 500, "error_code": "unexpected_failure", "error_id": "e"}, CORS)
        elif self.behaviour == "garbage":
            exchange.reply(200, b"<html>not what you asked for", CORS)
        elif self.behaviour != "slow" or await exchange.pause(1.0):
            status, content, headers = self._answer(path, request)
            exchange.reply(status, content, CORS | headers)

    def _answer(self, path: str, request: Request) -> tuple[int, object, dict[str, str]]:
        if path == "/.well-known/jwks.json":
            return 200, self.keys.jwks(), {"cache-control": "public, max-age=600"}
        if self.behaviour in GATEWAY:
            return *GATEWAY[self.behaviour], {}
        if path in ("/health", "/settings"):
            return 200, {"name": "GoTrue", "description": "a stand-in", "external": {"email": True}}, {}
        if "apikey" not in request.headers:
            return 401, {"message": "No API key found in request"}, {}
        routes = {"/token": self._sign_in, "/signup": self._sign_up, "/user": self._get_user, "/logout": self._sign_out}
        if path not in routes:
            return 404, {"code": 404, "msg": "not found"}, {}
        return routes[path](request)

    def _sign_in(self, request: Request) -> tuple[int, object, dict[str, str]]:
        body = request.json()
        if request.query.get("grant_type") == "refresh_token":
            user = self._refresh_tokens.pop(body.get("refresh_token", ""), None)
            if user is None:
                return _error(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
            return 200, self._session(user), {}
        user = self.users.get(body.get("email", ""))
        if user is None or body.get("password") != user["password"]:
            return _error(400, "invalid_credentials", "Invalid login credentials")
        return 200, self._session(user), {}

    def _sign_up(self, request: Request) -> tuple[int, object, dict[str, str]]:
        body = request.json()
        user = _user(str(uuid.uuid4()), body.get("email", ""), body.get("password", ""))
        self.users[user["email"] or user["id"]] = user
        return 200, self._session(user), {}

    def _get_user(self, request: Request) -> tuple[int, object, dict[str, str]]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            return _error(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            claims = self.keys.verify(token)
        except jwt.PyJWTError as why:
            return _error(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {why}")
        if "sub" not in claims:
            return _error(403, "bad_jwt", "invalid claim: missing sub claim")
        if claims.get("session_id") in self.signed_out:
            return _error(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        known = {user["id"]: user for user in self.users.values()}
        return 200, _public(known.get(claims["sub"], _user(claims["sub"], ""))), {}

    def _sign_out(self, request: Request) -> tuple[int, object, dict[str, str]]:
        claims = jwt.decode(request.headers["authorization"].partition(" ")[2], options={"verify_signature": False})
        self.signed_out.add(claims["session_id"])
        return 204, b"", {}

    def _session(self, user: User) -> dict[str, object]:
        refresh_token = uuid.uuid4().hex
        self._refresh_tokens[refresh_token] = user
        now = time.time()
        return {
            "access_token": self.keys.sign(_claims(user, self.issuer, LIFETIME)),
            "token_type": "bearer",
            "expires_in": LIFETIME,
            "expires_at": int(now) + LIFETIME,
            "refresh_token": refresh_token,
            "user": _public(user),
        }

    def _control(self, exchange: Exchange) -> None:
        name, options = exchange.request.path.rpartition("/")[2], exchange.request.json()
        if name == "rotate":
            self.keys.rotate(options.get("alg"))
        elif name == "behaviour":
            self.behaviour = options.get("behaviour", "well")
        exchange.reply(200, {"requests": self.requests, "behaviour": self.behaviour, **self.keys.jwks()})


def _claims(user: User, issuer: str, expires_in: float) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": issuer, "aud": "authenticated", "exp": int(now + expires_in), "iat": now, "sub": user["id"],
        "role": "authenticated", "aal": "aal1", "amr": [{"method": "password", "timestamp": now}],
        "session_id": str(uuid.uuid4()), "email": user["email"], "phone": "", "is_anonymous": not user["email"],
        "app_metadata": {"provider": "email", "providers": ["email"]}, "user_metadata": {},
    }  # fmt: skip


def _api_claims(role: str) -> dict[str, Any]:
    return {"iss": "supabase", "ref": "standinstandinstandi", "role": role, "iat": 1700000000, "exp": 2015575200}


def _user(user_id: str, email: str, password: str = PASSWORD) -> User:
    return {"id": user_id, "email": email, "password": password}


def _public(user: User) -> User:
    created = "2026-01-01T00:00:00Z"
    return {"id": user["id"], "aud": "authenticated", "role": "authenticated", "email": user["email"], "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]}, "user_metadata": {}, "identities": [],
            "is_anonymous": not user["email"], "created_at": created, "updated_at": created}  # fmt: skip


def _error(status: int, code: str, message: str) -> tuple[int, object, dict[str, str]]:
    return status, {"code": status, "error_code": code, "msg": message}, {"x-sb-error-code": code}


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--alg", default="ES256", choices=("HS256", "ES256", "RS256", "EdDSA"))
    chosen = parser.parse_args()
    SupabaseStandIn(chosen.port, alg=chosen.alg).serve()


if __name__ == "__main__":
    main()
