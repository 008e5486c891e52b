"""The signing keys of the stand-in for Supabase Auth and their rotation.

A key is standby (published, signs nothing), in use, previously used (still trusted) or revoked (not published):
https://supabase.com/docs/guides/auth/signing-keys.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"  # `supabase start` uses it too
_NEW: dict[str, Any] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass
class SigningKey:
    """A private key and its key id."""

    alg: str
    kid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        self.private = _NEW[self.alg]()

    def public(self) -> dict[str, Any]:
        """The public key as a JWK."""
        jwk = jwt.get_algorithm_by_name(self.alg).to_jwk(self.private.public_key(), as_dict=True)
        return {**jwk, "kid": self.kid, "alg": self.alg, "use": "sig", "key_ops": ["verify"]}


class KeyRing:
    """The key in use and the published keys."""

    def __init__(self, alg: str = "HS256", secret: str = SECRET) -> None:
        """With HS256 no key is published, as in a legacy project."""
        self.secret = secret
        self.published: list[SigningKey] = []
        self.in_use: SigningKey | None = None
        if alg != "HS256":
            self.rotate(alg)

    def rotate(self, alg: str | None = None) -> SigningKey:
        """Sign with a new key from now on. The previous one stays trusted."""
        self.in_use = SigningKey(alg or (self.in_use.alg if self.in_use else "ES256"))
        self.published.append(self.in_use)
        return self.in_use

    def revoke_previous(self) -> None:
        """Publish only the key in use."""
        self.published = [self.in_use] if self.in_use else []

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign a token with these claims."""
        if self.in_use is None:
            return jwt.encode(claims, self.secret, "HS256")
        return jwt.encode(claims, self.in_use.private, self.in_use.alg, headers={"kid": self.in_use.kid})

    def verify(self, token: str) -> dict[str, Any]:
        """Verify a token and return its claims. Raises `jwt.PyJWTError`."""
        header = jwt.get_unverified_header(token)
        options: Any = {"verify_aud": False}
        if header["alg"] == "HS256":
            claims: dict[str, Any] = jwt.decode(token, self.secret, ["HS256"], options=options)
            return claims
        for key in self.published:
            if key.kid == header.get("kid"):
                return dict(jwt.decode(token, key.private.public_key(), [key.alg], options=options))
        raise jwt.InvalidTokenError("unknown kid")

    def jwks(self) -> dict[str, Any]:
        """The document at `/.well-known/jwks.json`. Never contains a shared secret."""
        return {"keys": [key.public() for key in self.published]}
