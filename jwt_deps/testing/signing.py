"""How does a test sign a token? With a key pair made on the spot, by `cryptography` alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from uuid import uuid4

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwt_deps.serialization import encode_base64url

__all__ = ["SigningKey"]

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_RSA = frozenset(kind + size for kind in ("RS", "PS") for size in _HASHES)
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
_ED25519 = frozenset({"EdDSA", "Ed25519"})


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The private half of an issuer's key, with the name and the algorithm that it is used for."""

    kid: str
    algorithm: str
    private: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str = "RS256", kid: str | None = None) -> Self:
        """Make a key of one's own; without a `kid` it gets one that is like no other.

        Raises:
            ValueError: no key pair serves the algorithm.
        """
        return cls(kid=kid or uuid4().hex, algorithm=algorithm, private=_private_key(algorithm))

    @property
    def public_pem(self) -> str:
        """The public half in PEM, as `JWT_SECRET_KEY` takes it."""
        public = self.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK (RFC 7517), a new dict each time."""
        members = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        return {**_public_members(self.private, self.algorithm), **members}

    def sign(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """Make a JWS in compact serialization (RFC 7515 §5.1) of these very members.

        The signature is made with the key's own algorithm, whatever the header says.
        """
        head = ".".join(
            encode_base64url(json.dumps(part, separators=(",", ":")).encode())
            for part in (header, claims)
        )
        return f"{head}.{encode_base64url(self._signature(head.encode()))}"

    def _signature(self, message: bytes) -> bytes:
        """Sign as RFC 7518 §3 and RFC 8037 §3.1 have it."""
        private = self.private
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return private.sign(message)
        digest = _HASHES[self.algorithm[2:]]
        if isinstance(private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
            size = (private.curve.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.algorithm.startswith("PS"):
            salted = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)
            return private.sign(message, salted, digest)
        return private.sign(message, padding.PKCS1v15(), digest)


def _private_key(algorithm: str) -> PrivateKey:
    if algorithm in _RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm][1])
    if algorithm in _ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    known = ", ".join(sorted(_RSA | _CURVES.keys() | _ED25519))
    raise ValueError(f"no key pair serves {algorithm!r}; there is {known}")


def _public_members(private: PrivateKey, algorithm: str) -> dict[str, str]:
    if isinstance(private, rsa.RSAPrivateKey):
        key = private.public_key().public_numbers()
        return {"kty": "RSA", "n": _integer(key.n), "e": _integer(key.e)}
    if isinstance(private, ec.EllipticCurvePrivateKey):
        point = private.public_key().public_numbers()
        size = (private.curve.key_size + 7) // 8
        x, y = _integer(point.x, size), _integer(point.y, size)
        return {"kty": "EC", "crv": _CURVES[algorithm][0], "x": x, "y": y}
    raw = private.public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(raw)}


def _integer(value: int, size: int | None = None) -> str:
    return encode_base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
