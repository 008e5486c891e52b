"""Which tokens verify, and which are refused."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from broker.auth import tokens
from broker.caller import Caller
from broker.errors.base import TokenExpired, TokenInvalid

NOW = 1_790_000_000
SECRET = "a-secret-of-the-project-with-more-than-32-characters"
EXPECTED = tokens.Expected("https://project.supabase.co/auth/v1")
ADA = "11111111-1111-4111-8111-111111111111"
PRIVATE: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def claims(**changes: Any) -> dict[str, Any]:
    """Return a signed-in user's claims, with `changes`; None removes one."""
    good = {
        "iss": EXPECTED.issuer,
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "sub": ADA,
        "role": "authenticated",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def hs256(payload: dict[str, Any], **header: Any) -> str:
    return jwt.encode(payload, SECRET, "HS256", headers=header or None)


def jwk(alg: str) -> dict[str, Any]:
    algorithm = jwt.get_algorithm_by_name(alg)
    return {**algorithm.to_jwk(PRIVATE[alg].public_key(), as_dict=True), "kid": alg, "use": "sig", "alg": alg}


def caller_of(text: str, key: tokens.Key) -> Caller:
    token = tokens.read_token(text)
    tokens.check_signature(token, key)
    return tokens.check_claims(token, EXPECTED, NOW)


def encode(part: object) -> str:
    text = part if isinstance(part, str) else json.dumps(part)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def test_it_accepts_a_token_signed_with_the_secret() -> None:
    """A valid HS256 token gives the user id and the end of validity."""
    assert caller_of(hs256(claims()), tokens.secret_key(SECRET)) == Caller(ADA, NOW + 3600)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA"])
def test_it_accepts_a_token_signed_with_a_published_key(alg: str) -> None:
    """Each asymmetric algorithm of Supabase's works with the key from the JWKS document."""
    keys = tokens.key_set({"keys": [jwk(alg)]})
    assert caller_of(jwt.encode(claims(), PRIVATE[alg], alg), keys[alg]).id == ADA


def test_an_audience_may_be_a_list() -> None:
    """RFC 7519 lets `aud` be an array."""
    assert caller_of(hs256(claims(aud=["x", "authenticated"])), tokens.secret_key(SECRET)).id == ADA


@pytest.mark.parametrize(("reason", "changes"), [
    ("wrong_issuer", {"iss": None}),
    ("wrong_issuer", {"iss": "https://other.supabase.co/auth/v1"}),
    ("wrong_issuer", {"iss": ["https://project.supabase.co/auth/v1"]}),
    ("wrong_audience", {"aud": None}),
    ("wrong_audience", {"aud": "anon"}),
    ("wrong_audience", {"aud": []}),
    ("no_expiry", {"exp": None}),
    ("no_expiry", {"exp": True}),
    ("no_expiry", {"exp": str(NOW + 60)}),
    ("no_expiry", {"exp": float("inf")}),
    ("no_expiry", {"exp": 10**400}),
    ("not_yet_valid", {"nbf": NOW + 60}),
    ("not_yet_valid", {"nbf": "soon"}),
    ("wrong_role", {"role": None}),
    ("supabase_key", {"role": "anon"}),
    ("supabase_key", {"role": "service_role"}),
    ("wrong_role", {"role": ["authenticated"]}),
    ("no_user_id", {"sub": None}),
    ("no_user_id", {"sub": ""}),
    ("no_user_id", {"sub": " "}),
    ("no_user_id", {"sub": 7}),
])  # fmt: skip
def test_it_refuses_claims_that_are_not_a_signed_in_users(reason: str, changes: dict[str, Any]) -> None:
    """Issuer, audience, expiry, role and subject are required, each with its type and value. The operator gets why."""
    text = ".".join((encode({"alg": "HS256"}), encode(claims(**changes)), encode("signature")))
    with pytest.raises(TokenInvalid) as refused:
        tokens.check_claims(tokens.read_token(text), EXPECTED, NOW)
    assert refused.value.reason == reason


def test_it_allows_ten_seconds_of_clock_skew() -> None:
    """A token is valid for 10 s past `exp`; then it is expired, with its own code."""
    token = tokens.read_token(hs256(claims(exp=NOW)))
    assert tokens.check_claims(token, EXPECTED, NOW + 9.9).id == ADA
    with pytest.raises(TokenExpired):
        tokens.check_claims(token, EXPECTED, NOW + 10)


def test_the_anon_key_is_not_a_user_token() -> None:
    """The legacy public key is refused although its signature verifies."""
    anon = hs256({"iss": "supabase", "ref": "abc", "role": "anon", "iat": NOW, "exp": NOW + 10**8})
    with pytest.raises(TokenInvalid):
        caller_of(anon, tokens.secret_key(SECRET))


def test_a_public_key_is_never_used_as_a_secret() -> None:
    """HS256 with the public key's text as the secret does not verify against that key."""
    public = PRIVATE["RS256"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = hs256(claims(), kid="RS256").rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("HS256").sign(forged.encode(), pem)
    text = forged + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    with pytest.raises(TokenInvalid):
        caller_of(text, tokens.key_set({"keys": [jwk("RS256")]})["RS256"])


@pytest.mark.parametrize("alg", ["none", "None", "HS512", "RS256", "ES256"])
def test_the_key_decides_the_algorithm(alg: str) -> None:
    """A token with another algorithm than its key's is refused, `none` included."""
    text = ".".join((encode({"alg": alg}), encode(claims()), hs256(claims()).split(".")[2]))
    with pytest.raises(TokenInvalid):
        caller_of(text, tokens.secret_key(SECRET))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "....",
        encode({"alg": "HS256"}) + "." + encode("[]") + ".",
        encode({"alg": "HS256"}) + "." + encode('{"sub": "a", "sub": "b"}') + ".",
        encode({"alg": "HS256", "crit": ["exp"]}) + "." + encode(claims()) + ".",
        encode({"alg": ["HS256"]}) + "." + encode(claims()) + ".",
        encode({"alg": "HS256", "kid": {}}) + "." + encode(claims()) + ".",
        encode({"alg": "HS256"}) + "." + encode("[" * 5000) + ".",
        encode({"alg": "HS256"}) + "." + encode('{"a":' * 3000) + ".",
        hs256(claims()) + "=",
        hs256(claims()).replace(".", ".\n", 1),
        hs256(claims(extra="x" * 16_000)),
        "tökén.a.b",
    ],
)
def test_it_refuses_malformed_tokens(text: str) -> None:
    """Any header value ends in a refusal, never in another error."""
    with pytest.raises(TokenInvalid):
        caller_of(text, tokens.secret_key(SECRET))


def test_a_signature_has_one_spelling() -> None:
    """The last character of base64 has spare bits; changing them gives another token."""
    text = hs256(claims())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = alphabet[alphabet.index(text[-1]) ^ 1]
    with pytest.raises(TokenInvalid):
        caller_of(text[:-1] + spare, tokens.secret_key(SECRET))


def test_a_key_set_leaves_out_unusable_keys() -> None:
    """Unknown kinds, secrets, encryption keys, wrong curves and invalid entries are left out; the valid key is kept."""
    p_384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    other_curve = jwt.get_algorithm_by_name("ES384").to_jwk(p_384, as_dict=True)
    document = {
        "keys": [
            None,
            {"kid": "a"},
            {"kid": "b", "kty": "oct", "k": encode("secret"), "alg": "HS256"},
            {"kid": "b", "kty": "oct", "alg": "HS256"},
            {**jwk("RS256"), "kid": "b", "alg": "none"},
            {**jwk("RS256"), "use": "enc"},
            {**jwk("ES256"), "kid": 5},
            {"kid": "c", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {**other_curve, "kid": "d", "alg": "ES256"},
            jwk("ES256"),
        ]
    }
    assert set(tokens.key_set(document)) == {"ES256"}


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, "keys"])
def test_only_a_jwks_document_is_a_key_set(document: object) -> None:
    """Any other document is an error, so that it never replaces a valid set."""
    with pytest.raises(ValueError, match="JWKS"):
        tokens.key_set(document)
