"""The tokens and keys of all contestants, valid and invalid.

One set of claims serves everybody: besides what a resource server reads there are the few private
claims without which one or another of the peers refuses a token.
"""

import base64
import json
import time
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk as jose_keys
from jose import jwt
from jose.backends.base import Key

__all__ = [
    "ALGORITHMS",
    "AUDIENCE",
    "ISSUER",
    "KID",
    "SECRET",
    "bad",
    "claims",
    "good",
    "jwk",
    "numbers",
    "private_key",
    "public_key",
    "signed",
    "text",
]

ALGORITHMS = ("HS256", "RS256", "ES256")
ISSUER = "https://issuer.example.com/"
AUDIENCE = "api"
KID = "key-1"
SECRET = "correct-horse-battery-staple-".ljust(64, "0")
_DAY = 86400


def claims() -> dict[str, Any]:
    """The claims of a good token."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": "user-1234567",
        "aud": AUDIENCE,
        "exp": now + _DAY,
        "iat": now - 10,
        "nbf": now - 10,
        "jti": "c6f5d2a0-1b2c-4d3e-9f00-112233445566",
        "scope": "read write admin",
        "scopes": ["read", "write", "admin"],
        "session_id": "session-42",
        "email": "alice@example.com",
        "name": "Alice Example",
        "tid": "tenant-1",
        "ver": "2.0",
        "azp": "client",
        "type": "access",  # authx
        "subject": {"id": "user-1234567"},  # fastapi-jwt
    }


@cache
def private_key(algorithm: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """The issuer's key for RS256 or ES256."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def public_key(algorithm: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Its public half."""
    return private_key(algorithm).public_key()


@cache
def text(algorithm: str) -> str:
    """What a service is given: the secret, or the public key in PEM."""
    if algorithm == "HS256":
        return SECRET
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return public_key(algorithm).public_bytes(encoding, form).decode()


def jwk(kid: str = KID) -> dict[str, Any]:
    """The public RSA key as a JWK."""
    modulus, exponent = numbers()
    return {"kty": "RSA", "n": modulus, "e": exponent, "kid": kid, "use": "sig", "alg": "RS256"}


def numbers() -> tuple[str, str]:
    """The modulus and the exponent of the RSA key, as a JWK has them."""
    public = private_key("RS256").public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError("the key for RS256 is an RSA key")
    found = public.public_numbers()
    return _base64url(found.n.to_bytes(256, "big")), _base64url(found.e.to_bytes(3, "big"))


def signed(members: dict[str, Any], algorithm: str, kid: str = KID) -> str:
    """A token of these claims."""
    return jwt.encode(members, _signer(algorithm), algorithm, headers={"kid": kid})


@cache
def _signer(algorithm: str) -> Key:
    """The key as python-jose has it, which checks an RSA key for 30 ms when it loads it."""
    key = SECRET
    if algorithm != "HS256":
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        key = private_key(algorithm).private_bytes(encoding, form, plain).decode()
    return jose_keys.construct(key, algorithm)


@cache
def good(algorithm: str) -> str:
    """The token that every contestant has to accept."""
    return signed(claims(), algorithm)


@cache
def bad(algorithm: str) -> dict[str, str | None]:
    """The invalid tokens, by what is wrong with them; `None` is no token."""
    header, payload, signature = good(algorithm).split(".")
    wrong = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    other = _base64url(json.dumps(claims() | {"sub": "root"}).encode())
    unsigned = _base64url(json.dumps({"alg": "none", "typ": "JWT", "kid": KID}).encode())
    return {
        "tampered signature": f"{header}.{payload}.{wrong}",
        "changed claims": f"{header}.{other}.{signature}",
        "expired": signed(claims() | {"exp": int(time.time()) - _DAY}, algorithm),
        "alg none": f"{unsigned}.{payload}.",
        "no token": None,
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
