"""Forged tokens: known attacks on JWT verification.

`forge` makes them for a project with given published keys, secret and issuer. An attacker knows the published keys,
the issuer and previously signed tokens. Some tokens need the project's secret and still must be refused: its API keys,
and tokens with broken claims.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from deploy.local.signing import KeyRing, SigningKey

ADA = "11111111-1111-4111-8111-111111111111"
EVIL = "https://evil.example/jwks.json"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
RSA_KEY, EC_KEY, P384_KEY, ED_KEY = (
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
)  # the attacker's own


def b64(data: bytes | str) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def hs256(header: object, claims: object, secret: bytes, digest: str = "sha256") -> str:
    """A token signed with a secret; header and claims are JSON values, or text that is used as it is."""
    signed = f"{_part(header)}.{_part(claims)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), digest))}"


def _part(value: object) -> str:
    return b64(value if isinstance(value, str) else json.dumps(value))


@dataclass
class Project:
    """The attacked project. `ring` publishes ES256, RS256 and EdDSA keys and holds the HS256 secret."""

    ring: KeyRing
    issuer: str
    now: int

    @property
    def secret(self) -> bytes:
        return self.ring.secret.encode()

    def key(self, alg: str) -> SigningKey:
        """The published key of this algorithm."""
        return next(key for key in self.ring.published if key.alg == alg)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A user's claims, with changes; `...` removes one."""
        good = {"iss": self.issuer, "aud": "authenticated", "role": "authenticated", "sub": ADA,
                "iat": self.now, "exp": self.now + 3600}  # fmt: skip
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def good(self, alg: str = "ES256", **changes: Any) -> str:
        """A token as the project signs it: the control."""
        key = self.key(alg)
        return jwt.encode(self.claims(**changes), key.private, alg, headers={"kid": key.kid})

    def shared(self, claims: object = None, **header: Any) -> str:
        """A token signed with the project's secret."""
        return hs256({"alg": "HS256", "typ": "JWT"} | header, self.claims() if claims is None else claims, self.secret)


def forge(project: Project) -> dict[str, str]:
    """Every forged token by the name of its attack. All must be refused."""
    kinds = (_algorithms, _key_confusion, _key_names, _headers, _claims, _unicode, _forms, _signatures, _other_keys)
    forged: dict[str, str] = {}
    for kind in kinds:
        made = kind(project)
        assert not forged.keys() & made.keys()
        forged |= made
    return forged


def _algorithms(project: Project) -> dict[str, str]:
    claims, signature = project.claims(), project.good().split(".")[2]
    odd = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "",
        "HS256 ",
        "hs256",
        "ES256\x00",
        "RS256,HS256",
        "HS1",
        "PS256",
        "ES256K",
    ]
    forged = {f"alg {alg!r} unsigned": f"{_part({'alg': alg})}.{_part(claims)}." for alg in odd}
    forged |= {f"alg {alg!r} with a signature": f"{_part({'alg': alg})}.{_part(claims)}.{signature}" for alg in odd}
    for value in (None, 0, True, ["ES256"], {"ES256": 1}):
        forged[f"alg is {value!r}"] = f"{_part({'alg': value})}.{_part(claims)}.{signature}"
    forged["no alg"] = f"{_part({'typ': 'JWT'})}.{_part(claims)}.{signature}"
    for digest, alg in (("sha384", "HS384"), ("sha512", "HS512")):
        forged[f"{alg} with the true secret"] = hs256({"alg": alg}, claims, project.secret, digest)
    signed = f"{_part({'alg': 'PS256', 'kid': project.key('RS256').kid})}.{_part(claims)}"
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    forged["PS256 with the true key"] = f"{signed}.{b64(_rsa(project).sign(signed.encode(), pss, SHA256()))}"
    return forged


def _rsa(project: Project) -> rsa.RSAPrivateKey:
    key = project.key("RS256").private
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _key_confusion(project: Project) -> dict[str, str]:
    """A public key in every encoding, used as an HMAC secret."""
    forged: dict[str, str] = {}
    encodings = serialization.Encoding
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    for key in project.ring.published:
        public = key.private.public_key()
        pem, jwk = public.public_bytes(encodings.PEM, form), key.public()
        number = str(jwk.get("n") or jwk["x"]).encode()
        spellings = {"PEM": pem, "PEM without its end": pem.strip(), "DER": public.public_bytes(encodings.DER, form),
                     "JWK": json.dumps(jwk).encode(), "kid": key.kid.encode(), "first number": number}  # fmt: skip
        for name, secret in spellings.items():
            for alg in ("HS256", key.alg):
                header = {"alg": alg, "kid": key.kid}
                forged[f"{key.alg} key's {name} as a secret, {alg}"] = hs256(header, project.claims(), secret)
    for secret in (b"", b"null", b"None", b"secret", b"\x00" * 32, base64.b64encode(project.secret)):
        forged[f"the secret {secret[:9]!r}"] = hs256({"alg": "HS256"}, project.claims(), secret)
    return forged


def _key_names(project: Project) -> dict[str, str]:
    claims = project.claims()
    odd: list[Any] = ["../../../../dev/null", "/dev/null", "x' OR '1'='1", "| id", EVIL, "\x00", "a" * 4000, "ключ",
                      "\ud800", "__class__", "", " ", 0, True, [], {}, [project.key("ES256").kid], None]  # fmt: skip
    forged = {f"kid {repr(kid)[:40]}": _ec({"alg": "ES256", "kid": kid}, claims, EC_KEY) for kid in odd}
    forged["no kid"] = _ec({"alg": "ES256"}, claims, EC_KEY)
    for alg in ("RS256", "EdDSA"):
        header = {"alg": "ES256", "kid": project.key(alg).kid}
        forged[f"ES256 by the name of the {alg} key"] = _ec(header, claims, EC_KEY)
    return forged


def _ec(header: object, claims: object, key: ec.EllipticCurvePrivateKey, *, raw: bool = True) -> str:
    signed = f"{_part(header)}.{_part(claims)}"
    is_p256 = isinstance(key.curve, ec.SECP256R1)
    der = key.sign(signed.encode(), ec.ECDSA(SHA256() if is_p256 else SHA384()))
    size = 32 if is_p256 else 48
    r, s = utils.decode_dss_signature(der)
    return f"{signed}.{b64(r.to_bytes(size, 'big') + s.to_bytes(size, 'big') if raw else der)}"


def _headers(project: Project) -> dict[str, str]:
    """Headers that carry a key, or name extensions."""
    mine = jwt.get_algorithm_by_name("ES256").to_jwk(EC_KEY.public_key(), as_dict=True)
    kid = project.key("ES256").kid
    pem = EC_KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims, base = project.claims(), {"alg": "ES256", "kid": kid}
    brought: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": mine}, "jwk of the same kid": {"jwk": {**mine, "kid": kid}}, "jku": {"jku": EVIL},
        "x5u": {"x5u": EVIL}, "x5c": {"x5c": [base64.b64encode(pem).decode()]}, "x5t": {"x5t": b64("x")},
        "jku of the project, almost": {"jku": project.issuer + "@evil.example/jwks.json"},
    }  # fmt: skip
    forged = {f"own key in {name}": _ec(base | more, claims, EC_KEY) for name, more in brought.items()}
    forged["own key in jwk, another kid"] = _ec({"alg": "ES256", "kid": "mine", "jwk": mine}, claims, EC_KEY)
    for crit in (["exp"], ["b64"], [], "exp", None):
        forged[f"crit {crit!r}"] = project.shared(crit=crit, b64=False)
    forged |= {
        "alg twice": hs256('{"alg": "none", "alg": "HS256"}', claims, project.secret),
        "alg twice, once in disguise": hs256('{"\\u0061lg": "none", "alg": "HS256"}', claims, project.secret),
        "a header that is a list": hs256('["HS256"]', claims, project.secret),
        "a header that is a text": hs256('"HS256"', claims, project.secret),
        "a header that is null": hs256("null", claims, project.secret),
        "a header that goes on": hs256('{"alg": "HS256"} {}', claims, project.secret),
        "a header in UTF-16": _with_bytes('{"alg": "HS256"}'.encode("utf-16"), claims, project.secret),
        "a header of half a character": _with_bytes(b'{"alg": "HS256", "a": "\xe2\x82"}', claims, project.secret),
        "a deep header": hs256('{"alg": "HS256", "a": ' + "[" * 3000 + "]" * 3000 + "}", claims, project.secret),
    }
    return forged


def _with_bytes(header: bytes, claims: object, secret: bytes) -> str:
    signed = f"{b64(header)}.{_part(claims)}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _claims(project: Project) -> dict[str, str]:
    """Tokens that the project signed, without a user's claims."""
    now, other = project.now, "https://othersothersothersot.supabase.co/auth/v1"
    wrong: dict[str, list[Any]] = {
        "exp": [..., None, True, "never", str(now + 60), [], {}, [now + 60], -1, 0, now - 11, float("nan"),
                float("-inf"), float("inf"), 10**400, -(10**400)],
        "nbf": [None, True, "soon", now + 86_400, [], 10**400, float("nan")],
        "sub": [..., None, True, 0, "", " ", "\t", [], [ADA], {"id": ADA}, "a" * 129, ADA + "\x00", ADA + "\n"],
        "aud": [..., None, True, 0, "", "anon", "authenticatedx", "xauthenticated", "AUTHENTICATED", [], [[]], {},
                ["anon"], [["authenticated"]], {"authenticated": 1}, "authenticated "],
        "iss": [..., None, "", [], [project.issuer], project.issuer + "/", project.issuer.upper(), other,
                project.issuer + "@evil.example", "supabase", project.issuer[:-1]],
        "role": [..., None, "", True, "anon", "service_role", "supabase_admin", "postgres", ["authenticated"],
                 "AUTHENTICATED", "authenticated ", {"authenticated": 1}],
    }  # fmt: skip
    return {
        f"{name} is {'missing' if value is ... else repr(value)[:50]}": project.shared(project.claims(**{name: value}))
        for name, values in wrong.items()
        for value in values
    } | {f"expired by a second, {alg}": project.good(alg, exp=now - 11) for alg in ("ES256", "RS256", "EdDSA")}


def _unicode(project: Project) -> dict[str, str]:
    """Look-alike and normalising characters."""
    return {
        "a Cyrillic role": project.shared(project.claims(role="аuthenticated")),
        "a role in wide letters": project.shared(project.claims(role="ａuthenticated")),
        "a role with a zero-width space": project.shared(project.claims(role="authenticated\u200b")),
        "an audience with a combining dot": project.shared(project.claims(aud="authenticated\u0307")),
        "an issuer with a Cyrillic letter": project.shared(project.claims(iss=project.issuer.replace("a", "а"))),
        "a user who is half a character": project.shared(project.claims(sub="\ud800")),
        "a user read from right to left": project.shared(project.claims(sub="\u202e" + ADA)),
        "a byte order mark in the token": "\ufeff" + project.good(),
        "a token in wide letters": "".join(chr(ord(char) + 0xFEE0) for char in project.good()),
        "a token with a soft hyphen": project.good().replace(".", "\u00ad.", 1),
    }


def _forms(project: Project) -> dict[str, str]:
    """Tokens that are not three parts in base64url."""
    good = project.good()
    header, claims, signature = good.split(".")
    twice = json.dumps(project.claims())[:-1]
    many = {f"claim{number}": number for number in range(600)}
    return {
        "nothing": "", "a dot": ".", "two dots": "..", "three dots": "...", "a word": "token", "one part": header,
        "no signature": f"{header}.{claims}", "four parts": f"{good}.x", "five parts": f"{good}.x.y",
        "a dot in front": f".{good}", "a dot behind": f"{good}.", "the scheme twice": f"Bearer {good}",
        "in quotes": f'"{good}"', "percent-encoded": good.replace(".", "%2E"), "two tokens": f"{good},{good}",
        "the JSON form": json.dumps({"protected": header, "payload": claims, "signature": signature}),
        "claims twice": hs256({"alg": "HS256"}, twice + f', "sub": "{ADA}"}}', project.secret),
        "claims twice, once in disguise": hs256({"alg": "HS256"}, twice + ', "s\\u0075b": "x"}', project.secret),
        "claims that go on": hs256({"alg": "HS256"}, twice + "} x", project.secret),
        "claims that are a list": hs256({"alg": "HS256"}, [project.claims()], project.secret),
        "claims that are a text": hs256({"alg": "HS256"}, '"x"', project.secret),
        "claims within claims": hs256({"alg": "HS256", "cty": "JWT"}, f'"{good}"', project.secret),
        "deep claims": hs256({"alg": "HS256"}, twice + ', "a": ' + "[" * 2500 + "]" * 2500 + "}", project.secret),
        "deep objects": hs256({"alg": "HS256"}, twice + ', "a": ' + '{"a":' * 900 + "0" + "}" * 901, project.secret),
        "claims of 5000 digits": hs256({"alg": "HS256"}, '{"exp": ' + "9" * 5000 + "}", project.secret),
        "many claims and no user": hs256({"alg": "HS256"}, many, project.secret),
        "compressed": hs256({"alg": "HS256", "zip": "DEF"}, "\x78\x9c", project.secret),
        "longer than any": hs256({"alg": "HS256"}, project.claims(x="x" * 16_000), project.secret),
    }  # fmt: skip


def _signatures(project: Project) -> dict[str, str]:
    """A genuine token's signature: truncated, extended, re-encoded, moved."""
    good, shared = project.good(), project.shared()
    head, _, signature = good.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    header, _, _ = good.split(".")
    richer = f"{header}.{_part(project.claims(sub='22222222-2222-4222-8222-222222222222'))}"
    forged = {
        "unsigned": f"{head}.", "one letter less": good[:-1], "one letter more": good + "A", "padded": good + "==",
        "spare bits": good[:-1] + ("B" if good[-1] != "B" else "C"),
        "spare bits, HS256": shared[:-1] + _next(shared[-1]),
        "a space in it": good[:-5] + " " + good[-5:], "a line end in it": good[:-5] + "\n" + good[-5:],
        "a line end behind": good + "\n.", "junk that a lax reader skips": good[:-5] + "!*" + good[-5:],
        "half of it": f"{head}.{b64(raw[:32])}", "twice": f"{head}.{b64(raw + raw)}",
        "reversed": f"{head}.{b64(raw[::-1])}",
        "zeros": f"{head}.{b64(bytes(64))}", "the order's": f"{head}.{b64(ORDER.to_bytes(32, 'big') * 2)}",
        "ones": f"{head}.{b64((1).to_bytes(32, 'big') * 2)}", "as DER": _der(head, raw),
        "as hex": f"{head}.{raw.hex()}",
        "in standard base64": f"{head}.{base64.b64encode(raw).decode()}",
        "for another user": f"{richer}.{signature}", "of another token": f"{head}.{shared.rpartition('.')[2]}",
        "spaces in the claims": f"{header}.{_part(json.dumps(project.claims(), indent=1))}.{signature}",
        "a bit turned": f"{head}.{b64(bytes([raw[0] ^ 1]) + raw[1:])}", "of the claims alone": _claims_only(project),
    }  # fmt: skip
    return {f"signature: {name}": text for name, text in forged.items()}


def _next(letter: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(letter) ^ 1]


def _der(head: str, raw: bytes) -> str:
    numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{head}.{b64(utils.encode_dss_signature(*numbers))}"


def _claims_only(project: Project) -> str:
    header, claims = _part({"alg": "HS256"}), _part(project.claims())
    return f"{header}.{claims}.{b64(hmac.digest(project.secret, claims.encode(), 'sha256'))}"


def _other_keys(project: Project) -> dict[str, str]:
    """Well formed, by another issuer; or by the project for another purpose."""
    api = {"iss": "supabase", "ref": "a" * 20, "iat": project.now, "exp": project.now + 10**8}
    kid, claims = project.key("ES256").kid, project.claims()
    return {
        "another project's, the same kid": _ec({"alg": "ES256", "kid": kid}, claims, EC_KEY),
        "another project's": _ec({"alg": "ES256", "kid": "theirs"}, project.claims(iss=EVIL), EC_KEY),
        "another project's RS256": jwt.encode(claims, RSA_KEY, "RS256", headers={"kid": project.key("RS256").kid}),
        "another project's EdDSA": jwt.encode(claims, ED_KEY, "EdDSA", headers={"kid": project.key("EdDSA").kid}),
        "another project's secret": hs256({"alg": "HS256"}, claims, hashlib.sha256(b"theirs").digest()),
        "ES384 with its own key": _ec({"alg": "ES384", "kid": kid}, claims, P384_KEY),
        "ES256 on another curve": _ec({"alg": "ES256", "kid": kid}, claims, P384_KEY),
        "the anon key": project.shared(api | {"role": "anon"}),
        "the service key": project.shared(api | {"role": "service_role"}),
        "the anon key with a user": project.shared(api | {"role": "anon", "sub": ADA, "aud": "authenticated"}),
        "the publishable key": "sb_publishable_abcdefghijklmnop", "the secret key": "sb_secret_abcdefghijklmnop",
        "the secret itself": project.ring.secret, "an OpenAI key": "sk-proj-0123456789abcdef",
    }  # fmt: skip
