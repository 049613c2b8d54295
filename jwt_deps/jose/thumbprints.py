"""What is a key called when nobody named it? The thumbprint of its JWK, by RFC 7638."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .encoding import encode_base64url
from .signatures import PublicKey

__all__ = ["public_jwk", "thumbprint"]

# RFC 7638 §3.2 and RFC 8037 §2: the members that make the key, in lexicographic order.
_REQUIRED = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
    "oct": ("k", "kty"),
}
# RFC 7518 §6.2.1.1; the curves of every key that is in use here.
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of a JWK (RFC 7638 §3): 43 characters of base64url.

    A key pair has that of its public half, whether or not private members are present. That of
    a shared secret (`oct`) is for whoever may know the secret (RFC 7638 §7).

    Raises:
        ValueError: no key type that is known, or a member that makes the key is missing.
    """
    kind = jwk.get("kty")
    names = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise ValueError("the key type of a JWK is EC, OKP, RSA or oct")
    members = {name: jwk.get(name) for name in names}
    if not all(isinstance(value, str) and value.isascii() for value in members.values()):
        raise ValueError(f"a JWK of type {kind} has the members {', '.join(names)}, all ASCII text")
    canonical = json.dumps(members, separators=(",", ":")).encode("ascii")
    return encode_base64url(hashlib.sha256(canonical).digest())


def public_jwk(key: PublicKey) -> dict[str, str]:
    """Write a public key as a JWK (RFC 7518 §6, RFC 8037 §2), with the members that make it.

    Raises:
        ValueError: it is on a curve that JWS does not use.
    """
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve, bits, point = _CURVES.get(key.curve.name), key.key_size, key.public_numbers()
        if curve is None:
            raise ValueError("the key is on a curve that JWS does not use")
        return {
            "kty": "EC",
            "crv": curve,
            "x": _integer(point.x, bits),
            "y": _integer(point.y, bits),
        }
    return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(key.public_bytes_raw())}


def _integer(value: int, bits: int | None = None) -> str:
    """Big-endian octets; a coordinate has its full length (RFC 7518 §6.2.1.2)."""
    return encode_base64url(value.to_bytes(((bits or value.bit_length()) + 7) // 8, "big"))
